//! Ten thousand files put in place: out of an archive, checked, made durable and switched; beside it `cp -a` and a rename.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use evenkeel::artifacts::entry::Limits;
use evenkeel::artifacts::place::Place;
use evenkeel::artifacts::unpack::{Look, unpack};
use evenkeel::desired::work::Swap;
use evenkeel::state::time::Timestamp;

use crate::report::Section;
use crate::stats::Sample;

const FILES: usize = 10_000;
const BYTES: usize = 4_096;

/// A tree of a hundred folders, and its archive as an engine gives it.
fn tree(at: &Path) -> std::path::PathBuf {
    let root = at.join("html");
    for number in 0..FILES {
        let folder = root.join(format!("part{:02}", number % 100));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("page{number}.html")), vec![b'a' + (number % 26) as u8; BYTES])
            .unwrap();
    }
    let archive = at.join("html.tar");
    let made = Command::new("tar").arg("-C").arg(at).arg("-cf").arg(&archive).arg("html").status();
    assert!(made.is_ok_and(|status| status.success()));
    archive
}

fn run_to_end(command: &mut Command) {
    assert!(command.status().is_ok_and(|status| status.success()), "{command:?}");
}

pub fn run(rounds: usize) -> Section {
    let mut section = Section::new(
        "Artifacts",
        "10 000 files of 4 KiB in a hundred folders. *evenkeel*: an archive is unpacked beside what is in place, every path judged, every file and folder made durable, \
         and the link switched; *switch*: that alone. *cp -a*: the same files copied within the file system and the copy renamed into place, once without and once \
         with a `sync` of the file system before the rename, without which the files may be empty after a power failure.",
    );
    let dir = tempfile::tempdir().unwrap();
    let archive = tree(dir.path());
    let place = Place::new(dir.path().join("docs").to_str().unwrap(), Swap::Symlink, "bench", "bench/docs");
    let (mut whole, mut switch, mut copy, mut durable) =
        (Sample::default(), Sample::default(), Sample::default(), Sample::default());
    for round in 0..rounds {
        let id = format!("{round:012x}");
        run_to_end(&mut Command::new("sync"));
        let began = Instant::now();
        let mut seen = place.prepare().unwrap();
        let bytes = BufReader::with_capacity(1 << 16, File::open(&archive).unwrap());
        place
            .stage(&id, |root| unpack(bytes, root, "/srv/html", &Look::default(), &[], Limits::default()))
            .unwrap();
        let staged = Instant::now();
        place.switch(&mut seen, &id, "bench", false, Timestamp(0)).unwrap();
        switch.push(staged.elapsed());
        whole.push(began.elapsed());
        place.drop_old(&mut seen, 1).unwrap();
        for (sample, syncs) in [(&mut copy, false), (&mut durable, true)] {
            run_to_end(&mut Command::new("sync"));
            let (fresh, target) = (dir.path().join("fresh"), dir.path().join(format!("copy{round}{syncs}")));
            let began = Instant::now();
            run_to_end(Command::new("cp").arg("-a").arg(dir.path().join("html")).arg(&fresh));
            if syncs {
                run_to_end(Command::new("sync").arg("-f").arg(&fresh));
            }
            fs::rename(&fresh, &target).unwrap();
            sample.push(began.elapsed());
            fs::remove_dir_all(&target).unwrap();
        }
    }
    section.note("rounds", rounds.to_string());
    section.note("evenkeel, archive to in place, ms", whole.shown());
    section.note("of that the switch, ms", switch.shown());
    section.note("cp -a and rename, ms", copy.shown());
    section.note("cp -a, sync of the file system, rename, ms", durable.shown());
    section.note("evenkeel against cp -a", whole.against(&copy).shown());
    let ratio = whole.against(&durable);
    section.held("evenkeel against cp -a with a sync", ratio.shown(), ratio.of_medians, 1.5, "");
    section
}
