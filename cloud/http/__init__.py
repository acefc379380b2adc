"""The cloud on HTTP: connections, requests and answers."""
