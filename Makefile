# The operators' guide's target names. Each is one command of ./run or selfbuild.
.PHONY: check test demo up health-check

check:
	./run check
test:
	./run test
demo:
	./run demo
up:
	./run up
health-check:
	curl -fsS http://127.0.0.1:$${SELFBUILD_MCP_PORT:-8004}/health
