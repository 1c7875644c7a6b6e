"""Starts and stops Kubernetes clusters for tests, each in namespaces of its own."""
