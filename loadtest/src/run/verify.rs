//! `verify`: a ledger against what is stored.

use std::collections::BTreeMap;

use anyhow::Context;

use crate::args::Verify;
use crate::http::Connection;
use crate::ledger::{self, Sight};
use crate::output::{self, Report};
use crate::rest;
use crate::stored;
use crate::target::Target;

pub(crate) fn run(args: &Verify) -> anyhow::Result<Report> {
    let record = ledger::read(&args.ledger)?;
    let target = Target::new(&args.server)?;
    let mut report = Report::new("verify");
    let (sights, torn) = (record.sights.len(), record.torn);
    let mut conversations: BTreeMap<i64, Vec<Sight>> = BTreeMap::new();
    for sight in record.sights {
        conversations.entry(sight.conversation).or_default().push(sight);
    }
    if conversations.is_empty() {
        report.faults.add("the ledger is empty: nothing was verified");
    }
    let bar = output::bar(conversations.len() as u64, "reading histories");
    let mut connection = Connection::new(&target);
    let mut stored = 0;
    for (conversation, sights) in &conversations {
        let reader = sights[0].sender;
        let rows = rest::messages(&mut connection, *conversation, reader, 0)
            .with_context(|| format!("conversation {conversation}"))?;
        stored += rows.len();
        report.faults.extend(stored::check(*conversation, 0, &rows, sights));
        bar.inc(1);
    }
    bar.finish_and_clear();
    report.row("conversations", conversations.len(), "");
    report.row("sights in the ledger", sights, "");
    report.row("torn lines in the ledger", torn, "");
    report.row("stored messages", stored, "");
    Ok(report)
}
