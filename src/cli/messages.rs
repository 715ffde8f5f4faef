//! `evenkeel notify`: whom the files say to tell, and whether a message comes.

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::context::{block_on, client_failed, settings};
use super::show::one_line;
use super::{code, out};
use crate::config::{Flags, Settings};
use crate::metrics::api::{Accepted, WorkQuery};
use crate::metrics::client::Client;
use crate::{note, say};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  evenkeel notify                    who is told, and of what
  evenkeel notify --test shop/ops    send a message now, and say whether it was taken")]
pub struct NotifyArgs {
    /// Send a message to this one, PROJECT/NAME
    #[arg(long, value_name = "NAME")]
    test: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize, serde::Serialize)]
struct Row {
    name: String,
    loads: bool,
    events: Option<Vec<String>>,
}

pub(super) fn run(flags: &Flags, args: &NotifyArgs) -> i32 {
    match settings(flags, None) {
        Ok(settings) => block_on(notify(&settings, args)),
        Err(code) => code,
    }
}

async fn notify(settings: &Settings, args: &NotifyArgs) -> i32 {
    let client = match Client::find(&settings.socket).await {
        Ok(Some(client)) => client,
        Ok(None) => {
            return out::fail("no daemon runs, and only the daemon tells anybody: start `evenkeel run`");
        }
        Err(error) => return client_failed(error),
    };
    if let Some(name) = &args.test {
        let order = json!({ "name": name });
        return match client.work_order::<Accepted>("notify", "test", &order).await {
            Ok(accepted) if args.json => {
                out::json(&accepted);
                code::OK
            }
            Ok(accepted) => {
                say!("{}", one_line(&accepted.message));
                code::OK
            }
            Err(error) => client_failed(error),
        };
    }
    let rows: Vec<Row> = match client.work("notify", &WorkQuery::new()).await {
        Ok(rows) => rows,
        Err(error) => return client_failed(error),
    };
    if args.json {
        out::json(&rows);
    } else if rows.is_empty() {
        note!("the files name nobody to tell: [notify.X] does");
    }
    if !args.json {
        rows.iter().for_each(line);
    }
    code::OK
}

fn line(row: &Row) {
    let events = match &row.events {
        None => "does not load; `evenkeel validate` says why".to_owned(),
        Some(events) if events.is_empty() => "everything".to_owned(),
        Some(events) => events.join(", "),
    };
    say!("{}: {events}", row.name);
}
