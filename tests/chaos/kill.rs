//! evenkeel killed with SIGKILL at every request of every replacement: before the engine has it, while the engine is at it, and after
//! the engine has answered. And the same places with the answer lost and evenkeel alive.

use crate::checker::rules::Rule;
use crate::proxy::{At, Moment, Verdict};
use crate::scene::{Scene, image_id};
use crate::support::files::{checked, plain};
use crate::support::wait::free_port;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    StopFirst(u16),
    StartFirst,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    LoseAnswer,
}

const POLICY: &str = "unless-stopped";

/// One revision more: `step` makes it another one.
fn file(order: Order, image: &str, step: usize) -> String {
    let more = format!("environment = {{ STEP = \"{step}\" }}\nvolumes = [\"data:/data\"]\n");
    let service = match order {
        Order::StopFirst(port) => checked("web", image, port, &more),
        Order::StartFirst => plain(
            "web",
            image,
            &(more
                + "deploy.update_config.order = \"start-first\"\n"
                + "healthcheck = { test = [\"CMD\", \"/program\", \"check\"], interval = \"300ms\", timeout = \"3s\", retries = 3 }\n"),
        ),
    };
    service + "\n[volumes]\ndata = {}\n"
}

struct Matrix {
    scene: Scene,
    order: Order,
    step: usize,
    /// Two that serve, taken in turns.
    good: [String; 2],
    bad: String,
}

impl Matrix {
    fn new(order: Order) -> Option<Self> {
        let scene = Scene::on_the_machines_engine()?;
        let host = &scene.host;
        let good = [host.image("1.0", &[], &[]), host.image("1.1", &[], &[])];
        let bad = host.image("bad", &[], &["fail"]);
        let service = "web".to_owned();
        scene.checker.promise(|promises| match order {
            Order::StopFirst(_) => promises.exclusive.insert(service),
            Order::StartFirst => promises.never_down.insert(service),
        });
        let mut matrix = Self { scene, order, step: 0, good, bad };
        matrix.scene.add_strangers();
        // The first one, and as many more as it takes until old revisions are dropped in every round.
        for _ in 0..6 {
            matrix.good_round();
        }
        matrix.scene.mark_volume("web");
        matrix.scene.checker.keeps_volume(&format!("{}_data", matrix.scene.host.project));
        Some(matrix)
    }

    /// Without a fault.
    fn good_round(&mut self) {
        let before = self.scene.number("web");
        let image = self.edit_to_good();
        self.scene.becomes_ready("web", &image, before);
        self.scene.serves_alone("web", &image, POLICY);
    }

    fn edit_to_good(&mut self) -> String {
        self.step += 1;
        let image = self.good[self.step % 2].clone();
        self.scene.host.write("web.toml", &file(self.order, &image, self.step));
        image
    }

    /// What serves now is what there must be a way back to.
    fn keep_what_serves(&self) {
        let serving = self.scene.host.serving("web").expect("it serves");
        self.scene.checker.keeps_image(&image_id(serving.image()));
    }

    /// Strikes at the k-th request of an update that ends well. `false`: it has no k-th request.
    fn forward(&mut self, number: usize, moment: Moment, blow: Blow) -> bool {
        self.keep_what_serves();
        let before = self.scene.number("web");
        let trap = self.scene.trap(At::Number(number), moment);
        let image = self.edit_to_good();
        let is_done = |scene: &Scene| {
            scene.is_ready("web", &image, before) && scene.is_alone("web", &image, POLICY).is_ok()
        };
        let struck = self.scene.caught(&trap, || is_done(&self.scene));
        if struck {
            self.strike(blow, trap);
        }
        self.scene.becomes_ready("web", &image, before);
        let seen = self.scene.serves_alone("web", &image, POLICY);
        assert_eq!(seen.variable("STEP"), Some(&*self.step.to_string()));
        self.scene.volume_is_whole("web");
        struck
    }

    /// Strikes at the k-th request of an update that fails and of the way back.
    fn backward(&mut self, number: usize, moment: Moment, blow: Blow) -> bool {
        self.keep_what_serves();
        let serving = self.scene.host.serving("web").expect("it serves");
        let rejected = |scene: &Scene| scene.status("web").map(|row| row["rejected"].clone());
        let before = rejected(&self.scene);
        let trap = self.scene.trap(At::Number(number), moment);
        self.step += 1;
        self.scene.host.write("web.toml", &file(self.order, &self.bad, self.step));
        let is_back = |scene: &Scene| {
            scene.condition("web")["kind"] == "rolled-back"
                && rejected(scene).is_some()
                && rejected(scene) != before
        };
        let is_done =
            |scene: &Scene| is_back(scene) && scene.is_alone("web", serving.image(), POLICY).is_ok();
        let struck = self.scene.caught(&trap, || is_done(&self.scene));
        if struck {
            self.strike(blow, trap);
        }
        self.scene.reaches("it is rolled back", || is_back(&self.scene));
        let seen = self.scene.serves_alone("web", serving.image(), POLICY);
        if self.order == Order::StartFirst {
            assert_eq!((&seen.id, seen.started_at()), (&serving.id, serving.started_at()), "it served on");
        }
        self.scene.volume_is_whole("web");
        struck
    }

    fn strike(&mut self, blow: Blow, trap: crate::proxy::Trap) {
        if blow == Blow::Kill {
            self.scene.kill_evenkeel();
        }
        trap.release(Verdict::Drop);
        if blow == Blow::Kill {
            self.scene.start_evenkeel();
        }
    }

    /// Every request. A full run strikes at each in every way, a quick one takes the ways in turns: one kill and one lost answer at
    /// each request.
    fn run(mut self, what: &str, round: fn(&mut Self, usize, Moment, Blow) -> bool) {
        let kills = [Moment::Before, Moment::During, Moment::After];
        let losses = [Moment::During, Moment::After];
        self.scene.proxy.take_requests();
        round(&mut self, usize::MAX, Moment::Before, Blow::Kill);
        let requests = self.scene.proxy.take_requests().len();
        // Tag, create, start and remove at the least.
        assert!(requests >= 4, "a replacement has {requests} requests: the matrix is not what it claims");
        let mut blows = 0;
        for number in 1..=requests {
            let turn = |ways: &[Moment]| match crate::full() {
                true => ways.to_vec(),
                false => vec![ways[number % ways.len()]],
            };
            let kills = turn(&kills).into_iter().map(|moment| (moment, Blow::Kill));
            let losses = turn(&losses).into_iter().map(|moment| (moment, Blow::LoseAnswer));
            for (moment, blow) in kills.chain(losses) {
                blows += usize::from(round(&mut self, number, moment, blow));
            }
        }
        // What a round before left to tidy can make the next one a request longer or shorter; not half of it.
        assert!(blows > requests, "{blows} blows at {requests} requests");
        self.scene.finish(&format!("{what}: {requests} requests, {blows} blows"));
    }
}

#[test]
fn a_stop_first_update_survives_sigkill_and_lost_answers_at_every_request() {
    let Some(matrix) = Matrix::new(Order::StopFirst(free_port())) else { return };
    matrix.run("stop-first forward", Matrix::forward);
}

#[test]
fn a_start_first_update_survives_sigkill_and_lost_answers_at_every_request() {
    let Some(matrix) = Matrix::new(Order::StartFirst) else { return };
    matrix.run("start-first forward", Matrix::forward);
}

#[test]
fn a_stop_first_rollback_survives_sigkill_and_lost_answers_at_every_request() {
    let Some(matrix) = Matrix::new(Order::StopFirst(free_port())) else { return };
    matrix.run("stop-first rolling back", Matrix::backward);
}

#[test]
fn a_start_first_rollback_survives_sigkill_and_lost_answers_at_every_request() {
    let Some(matrix) = Matrix::new(Order::StartFirst) else { return };
    matrix.run("start-first rolling back", Matrix::backward);
}

#[test]
fn the_checker_sees_on_the_real_engine_what_is_broken_on_purpose() {
    let Some(scene) = Scene::on_the_machines_engine() else { return };
    let image = scene.host.image("1.0", &[], &[]);
    scene.add_strangers();
    scene.host.write("web.toml", &plain("web", &image, ""));
    scene.becomes_ready("web", &image, 0);
    scene.checker.promise(|promises| promises.exclusive.insert("web".to_owned()));
    let broken = |rule: Rule| {
        scene.reaches(&format!("{rule:?} is seen"), || scene.checker.found().iter().any(|v| v.rule == rule));
    };
    assert_eq!(scene.checker.found(), []);
    // A second one, with the labels of the first.
    let owner = scene.host.label();
    let second = scene.host.foreign(
        &format!("{}-second", scene.host.project),
        &image,
        &["--label", &owner, "--label", "dev.evenkeel.service=web"],
    );
    broken(Rule::OneHolder);
    crate::support::docker::docker(&["rm", "--force", &second]);
    crate::support::docker::docker(&[
        "restart",
        "--time",
        "0",
        &format!("{}-foreign-running", scene.host.project),
    ]);
    broken(Rule::Foreign);
}
