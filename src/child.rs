//! Programs that evenkeel starts: what they say is read up to a bound, and they are ended with everything that they started.

use std::io::Read;
use std::process::Child;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process_group};

/// Ends a program, which leads a process group of its own, with everything that it started (ssh, helpers).
pub(crate) fn kill(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _gone = kill_process_group(group, Signal::KILL);
    }
    let _gone = child.kill();
}

/// Reads to the end, keeping at most `most` bytes; whether that was all. What is beyond is not read, so that the other end stops.
pub(crate) fn listen(
    pipe: Option<impl Read + Send + 'static>,
    most: u64,
    ended: Option<Sender<()>>,
) -> JoinHandle<(Vec<u8>, bool)> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut complete = true;
        if let Some(pipe) = pipe {
            let read = pipe.take(most.saturating_add(1)).read_to_end(&mut bytes).unwrap_or(0);
            if read as u64 > most {
                bytes.truncate(usize::try_from(most).unwrap_or(usize::MAX));
                complete = false;
            }
        }
        if let Some(ended) = ended {
            let _nobody = ended.send(());
        }
        (bytes, complete)
    })
}
