//! SHELL: registry credentials and image retention.
