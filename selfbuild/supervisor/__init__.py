"""Runs one application: holds its listening socket, and moves it from release to release without dropping a request."""
