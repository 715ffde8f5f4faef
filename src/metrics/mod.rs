//! SHELL: the Prometheus registry with its typed methods, and the HTTP server.
