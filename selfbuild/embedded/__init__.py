"""The whole stack on one machine: what `./run demo` and `./run up` start, and nothing that production needs."""
