//! Debian's Prometheus scrapes a running evenkeel, with the rules of `metrics/`.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::monitoring::prometheus;
use crate::support::files::plain;
use crate::support::host::Host;
use crate::support::wait::{free_port, page, wait_for};

struct Prometheus {
    child: Child,
    port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(program: &Path, folder: &Path, target: u16) -> Self {
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("metrics/alerts.yml");
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\n\
             rule_files: ['{}']\n\
             scrape_configs: [{{ job_name: evenkeel, static_configs: [{{ targets: ['127.0.0.1:{target}'] }}] }}]\n",
            rules.display()
        );
        let file = folder.join("prometheus.yml");
        fs::write(&file, config).unwrap();
        let port = free_port();
        let log = fs::File::create(folder.join("prometheus.log")).unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, port }
    }

    fn ask(&self, path: &str) -> Option<serde_json::Value> {
        serde_json::from_str(&page(self.port, path)?).ok()
    }

    fn value(&self, query: &str) -> Option<String> {
        let answer = self.ask(&format!("/api/v1/query?query={query}"))?;
        Some(answer.pointer("/data/result/0/value/1")?.as_str()?.to_owned())
    }

    fn firing(&self) -> Vec<String> {
        let answer = self.ask("/api/v1/alerts").unwrap_or_default();
        let alerts =
            answer.pointer("/data/alerts").and_then(|list| list.as_array().cloned()).unwrap_or_default();
        let name = |alert: &serde_json::Value| Some(alert.pointer("/labels/alertname")?.as_str()?.to_owned());
        alerts.iter().filter(|alert| alert["state"] == "firing").filter_map(name).collect()
    }
}

#[test]
fn prometheus_scrapes_evenkeel_and_alerts_when_an_image_is_broken() {
    let Some(host) = Host::new() else { return };
    let Some(program) = prometheus("prometheus") else { return };
    let good = host.image("1.0", &[], &[]);
    let bad = host.image("2.0", &[], &["exit", "3"]);
    host.write("web.toml", &plain("web", &good, ""));
    let daemon = host.run();
    let prometheus = Prometheus::start(&program, host.root(), daemon.port);
    wait_for("the target is up", || (prometheus.value("up")? == "1").then_some(()));
    let ready = "evenkeel_service_replicas_ready";
    wait_for("the service is seen as ready", || (prometheus.value(ready)? == "1").then_some(()));
    assert_eq!(prometheus.firing(), Vec::<String>::new());

    host.write("web.toml", &plain("web", &bad, ""));
    wait_for("the alert fires", || {
        prometheus.firing().contains(&"EvenkeelRevisionRejected".to_owned()).then_some(())
    });
    host.write("web.toml", &plain("web", &good, ""));
    wait_for("it is over", || {
        (!prometheus.firing().contains(&"EvenkeelRevisionRejected".to_owned())).then_some(())
    });
}
