"""One activity a step: validate the request, call the ports, return one value. No decisions, no policies."""
