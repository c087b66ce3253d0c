//! What a run of `chat` tells.

use super::{Chat, Tally};
use crate::args::Chat as Args;
use crate::engine::measure::Measured;
use crate::engine::site::Site;
use crate::order::Order;
use crate::report::Report;

impl Chat {
    /// What the run was told.
    pub(super) fn tell_parameters(&self, report: &mut Report, args: &Args, site: &Site) {
        report.parameter("pairs", self.pairs.len());
        report.parameter("sessions", self.places.len());
        match args.window {
            Some(window) => {
                report.parameter("messages under way of a pair", window);
                report.parameter("seconds", args.duration_s);
            }
            None => report.parameter("messages a second", args.rate),
        }
        report.parameter("bytes", args.bytes);
        report.parameter("seen to type, percent", args.typing);
        report.parameter("read, percent", args.receipts);
        report.parameter("seed", args.seed);
        report.parameter("server", site.name());
    }

    /// What came while it was measured.
    pub(super) fn tell(&self, report: &mut Report, measured: &Measured) {
        let Tally { sent, echoed: committed, delivered } = self.tally;
        report.row("messages sent", sent, "");
        report.row("messages refused", self.refused, "");
        report.row("messages committed and echoed", committed, "");
        report.row("frames delivered to others", delivered, "");
        let all: u64 = self.orders.iter().map(Order::count).sum();
        report.row("messages heard, those of the warm-up too", all, "");
        report.row("messages of others", self.foreign, "");
        report.row("seen to type", self.mix.typed, "");
        report.row("said to have read", self.mix.read, "");
        report.row("told of both and of who is here", self.mix.told, "");
        report.row("duration", measured.took.as_secs_f64(), "s");
        report.row("sends accepted", measured.rate(sent), "1/s");
        report.row("commits", measured.rate(committed), "1/s");
        report.row("frames delivered", measured.rate(committed + delivered), "1/s");
        measured.tell(report, "committed message", committed);
        report.latency("echo", &self.echo);
        report.latency("delivery", &self.delivery);
        if self.due.is_none() {
            report.latency("send lag", &self.lag);
        }
        measured.courses.tell(report, "", "commits");
    }
}
