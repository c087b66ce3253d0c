//! `fortifun check-config`: the settings as they hold, and who set each.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::settings::{SettingArgs, load};
use crate::config::Config;

pub(super) fn run(args: &SettingArgs) -> anyhow::Result<()> {
    let config = load(args)?;
    for warning in &config.warnings {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    io::stdout().write_all(table(&config).as_bytes())?;
    Ok(())
}

/// One line a setting: name, origin, value.
fn table(config: &Config) -> String {
    let names = config.effective.iter().map(|setting| setting.key.setting().name.len());
    let width = names.max().unwrap_or_default();
    config.effective.iter().fold(String::new(), |mut table, setting| {
        let (name, origin) = (setting.key.setting().name, setting.origin.name());
        let line = format!("{name:width$}  {origin:7}  {}", setting.value);
        writeln!(table, "{}", line.trim_end()).expect("a String takes what is written to it");
        table
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SETTINGS;

    #[test]
    fn every_setting_is_shown_with_its_origin_and_no_secret() {
        let secret = "a secret of more than thirty-two bytes";
        let config = Config::from_pairs(&[("SECRET_KEY", secret), ("PORT", "9")]).unwrap();
        let table = table(&config);
        assert_eq!(table.lines().count(), SETTINGS.len());
        for line in
            ["PORT  env      9", "HEARTBEAT_S  default  25", "SECRET_KEY  env      [redacted]"]
        {
            let (name, rest) = line.split_once("  ").unwrap();
            let line = format!("\n{name:28}  {rest}\n");
            assert!(table.contains(&line), "{line}{table}");
        }
        assert!(!table.contains(secret));
    }
}
