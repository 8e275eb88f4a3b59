# One image for api, worker, local AWS and example application; the command decides which.
FROM python:3.13-slim

RUN apt-get update \
 && apt-get install -y --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/selfbuild --create-home selfbuild

WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .

ENV PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER selfbuild
VOLUME /var/lib/selfbuild
CMD ["python", "worker.py"]
