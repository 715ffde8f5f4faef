//! `evenkeel secret`: secrets of this host, and files encrypted for it. Prints names, never values.

mod list;
mod value;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::context::{block_on, settings};
use super::{assemble, code, out};
use crate::config::{Flags, Settings};
use crate::desired::ident::is_name;
use crate::metrics::client::Client;
use crate::secrets::Secrets;
use crate::secrets::open::encrypt;
use crate::secrets::vault::{Shelf, VALUE_CAP};
use crate::{note, say};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel secret set github                      asks for the value; for [secrets.github] external = true
  pass show github | evenkeel secret set github   the same from another program
  evenkeel secret list                            what the files ask for, and whether it can be had here
  evenkeel secret key                             this host's public key; makes one when there is none
  evenkeel secret encrypt db-password.txt         writes db-password.txt.age, for the repository
  evenkeel secret encrypt - < key.pem > key.pem.age")]
pub struct SecretArgs {
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// Put a secret on this host, from standard input or typed without being shown
    Set {
        /// Its name: `external = true`, or `name = "..."` in the files
        name: String,
        /// Keep the line end of a value of one line
        #[arg(long)]
        exact: bool,
    },
    /// Show which secrets and configs there are, where they come from, who uses them, and which are missing
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a secret off this host
    Rm { name: String },
    /// Encrypt a file for this host with `age`
    Encrypt {
        /// The file, or `-` for standard input to standard output
        file: PathBuf,
        /// For another host, too: its public key, as `evenkeel secret key` prints it there
        #[arg(long = "to", value_name = "RECIPIENT")]
        to: Vec<String>,
        /// Where to write [default: FILE.age, or standard output]
        #[arg(long, short, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Print this host's public key, for which files are encrypted; makes a key when there is none
    Key {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(flags: &Flags, args: &SecretArgs) -> i32 {
    let settings = match settings(flags, None) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let done = match &args.command {
        SecretCommand::Set { name, exact } => block_on_result(set(&settings, name, *exact)),
        SecretCommand::List { json } => list::run(&settings, *json),
        SecretCommand::Rm { name } => block_on_result(rm(&settings, name)),
        SecretCommand::Encrypt { file, to, output } => encrypt_file(&settings, file, to, output.as_deref()),
        SecretCommand::Key { json } => key(&settings, *json),
    };
    match done {
        Ok(()) => code::OK,
        Err(error) => out::fail(error),
    }
}

fn block_on_result(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let mut result = Ok(());
    block_on(async {
        result = work.await;
        code::OK
    });
    result
}

async fn set(settings: &Settings, name: &str, exact: bool) -> Result<(), String> {
    check_name(name)?;
    let value = value::read(name, exact)?;
    let secrets = assemble::secrets(settings, false);
    let before = secrets.vault.get(Shelf::Store, name)?;
    if before.as_ref() == Some(&value) {
        note!("{name} has this value already");
        return Ok(());
    }
    secrets.vault.put(Shelf::Store, name, &value)?;
    let verb = if before.is_some() { "changed" } else { "set" };
    note!("{name} is {verb} ({} bytes)", value.len());
    wake(settings).await;
    Ok(())
}

async fn rm(settings: &Settings, name: &str) -> Result<(), String> {
    check_name(name)?;
    let secrets = assemble::secrets(settings, false);
    if !secrets.vault.remove(Shelf::Store, name)? {
        return Err(format!(
            "there is no secret `{name}` on this host: `evenkeel secret list` shows what there is"
        ));
    }
    note!("{name} is gone; what runs with it goes on, and stays as it is until it is set again");
    wake(settings).await;
    Ok(())
}

/// A daemon looks by itself every few seconds; one that is asked looks at once.
async fn wake(settings: &Settings) {
    if let Ok(Some(client)) = Client::find(&settings.socket).await
        && let Err(error) = client.sync().await
    {
        note!("the daemon looks at it in a few seconds ({error})");
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if is_name(name) {
        return Ok(());
    }
    Err(format!("`{name}` is no name: letters, digits, `.`, `_` and `-`, beginning with a letter or digit"))
}

fn encrypt_file(
    settings: &Settings,
    file: &Path,
    to: &[String],
    output: Option<&Path>,
) -> Result<(), String> {
    let secrets = assemble::secrets(settings, false);
    let mut recipients = to.to_vec();
    // For another host alone nobody needs a key of this one.
    if to.is_empty() || secrets.opener.key_file().exists() {
        recipients.extend(secrets.opener.recipients()?);
    }
    let plain = if file == Path::new("-") {
        value::all(&mut std::io::stdin().lock())?
    } else {
        let mut opened = File::open(file).map_err(|error| format!("{}: {error}", file.display()))?;
        value::all(&mut opened)?
    };
    let sealed = encrypt(&recipients, true, plain)?;
    let target = match output {
        Some(path) => Some(path.to_owned()),
        None if file == Path::new("-") => None,
        None => Some(PathBuf::from(format!("{}.age", file.display()))),
    };
    let Some(path) = target else {
        let written = std::io::stdout().lock().write_all(&sealed);
        return written.map_err(|error| format!("standard output: {error}"));
    };
    std::fs::write(&path, sealed).map_err(|error| format!("{}: {error}", path.display()))?;
    note!(
        "{} can be opened by {} key{}",
        path.display(),
        recipients.len(),
        if recipients.len() == 1 { "" } else { "s" }
    );
    if file != Path::new("-") {
        note!("{} itself is as it was: it belongs into no repository", file.display());
    }
    Ok(())
}

#[derive(Debug, Serialize)]
struct Key {
    file: String,
    recipients: Vec<String>,
}

fn key(settings: &Settings, json: bool) -> Result<(), String> {
    let secrets: Arc<Secrets> = assemble::secrets(settings, false);
    let file = secrets.opener.key_file();
    if !file.exists() {
        secrets.opener.make_key()?;
        note!(
            "made the key {}; without it nothing that is encrypted for this host can be opened: keep a copy in a safe place",
            file.display()
        );
    }
    let recipients = secrets.opener.recipients()?;
    if json {
        out::json(&Key { file: file.display().to_string(), recipients });
    } else {
        recipients.iter().for_each(|recipient| say!("{recipient}"));
    }
    Ok(())
}

/// Reads all there is, up to what a secret may be.
fn limited(from: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(VALUE_CAP + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
