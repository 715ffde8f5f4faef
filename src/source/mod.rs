//! SHELL, inbound: where the desired state is read from. Publishes whole snapshots; an error is never an empty snapshot.
