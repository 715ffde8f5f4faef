//! Desired states that many tests share.

/// A service with a fixed host port and a check: replaced stop-first. `more` is further lines of its table.
pub fn checked(service: &str, image: &str, port: u16, more: &str) -> String {
    format!(
        r#"
[services.{service}]
image = "{image}"
ports = ["127.0.0.1:{port}:8080"]
restart = "unless-stopped"
stop_grace_period = "3s"
healthcheck = {{ test = ["CMD", "/program", "check"], interval = "300ms", timeout = "3s", retries = 3 }}
{more}
"#
    )
}

/// A service nobody needs to reach: no port, no check, proved by running for a moment.
pub fn plain(service: &str, image: &str, more: &str) -> String {
    format!(
        r#"
[services.{service}]
image = "{image}"
restart = "unless-stopped"
stop_grace_period = "3s"
deploy.update_config.monitor = "1s"
{more}
"#
    )
}
