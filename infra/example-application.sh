#!/bin/sh
# The example application in a container: its repository, the supervisor that serves it, and light traffic.
set -eu
state=/var/lib/selfbuild
repository=$state/meetnotes.git
sha=$(python -m examples.target_app.history "$repository")
tree=$state/agent/releases/meetmind/meetnotes/$sha
if [ ! -d "$tree" ]; then
  mkdir -p "$tree.partial"
  git -C "$repository" archive "$sha" | tar -x -C "$tree.partial"
  mv "$tree.partial" "$tree"
fi
python -m examples.target_app.load --url http://127.0.0.1:8080 --rate 5 --growth-after 600 --stats /tmp/load.json &
exec python -m selfbuild.supervisor --state "$state/supervisor" --listen 0.0.0.0:8080 --beyond-loopback --control 127.0.0.1:8081 \
  --app meetnotes.app:app --workers 4 --canary-workers 2 --tree "$tree" --sha "$sha" \
  --env MEETNOTES_LOG_GROUP=/meetmind/meetnotes
