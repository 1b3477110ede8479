//! `gannet ban`, `unban` and `bans`.

use clap::Args;

use super::{Global, Outcome, ask, put, put_answer};
use crate::node::control::{Request, What};
use crate::swarm::standing::{Nobody, Who};

/// Have the running daemon talk to somebody no more
#[derive(Args)]
#[command(after_help = "\
Examples:
  gannet ban 192.0.2.7
  gannet ban 7jfgaa9nutjyixzikb7tgmsf9gkwq7iqz498zr1nd5ig1fng4esy --for 2h")]
pub struct Ban {
    /// A host's id in full, or an address
    #[arg(value_name = "HOST-OR-ADDR", value_parser = who)]
    who: String,
    /// For how long, as in 90s, 30m, 2h or 7d [default: until it is lifted]
    #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
    span: Option<u64>,
}

/// Lift a ban
#[derive(Args)]
pub struct Unban {
    /// As gannet bans shows it
    #[arg(value_name = "HOST-OR-ADDR")]
    who: String,
}

/// Whom the running daemon does not talk to, for how long, and who decided that
#[derive(Args)]
pub struct Bans {}

impl Ban {
    pub fn run(self, global: &Global) -> Outcome {
        let request =
            Request { at: Some(self.who), seconds: self.span, ..Request::ask(What::Ban, false) };
        done(&request, global)
    }
}

impl Unban {
    pub fn run(self, global: &Global) -> Outcome {
        let request = Request { at: Some(self.who), ..Request::ask(What::Unban, false) };
        done(&request, global)
    }
}

impl Bans {
    pub fn run(self, global: &Global) -> Outcome {
        put_answer(&ask::daemon(&Request::ask(What::Bans, !global.json))?)
    }
}

fn done(request: &Request, global: &Global) -> Outcome {
    ask::daemon(request)?;
    if global.json { put(b"{\"ok\":true}\n") } else { Ok(0) }
}

fn who(text: &str) -> Result<String, Nobody> {
    text.parse::<Who>().map(|who| who.to_string())
}

/// `90s`, `30m`, `2h`, `7d`.
fn seconds(text: &str) -> Result<u64, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let unit = units.iter().find(|(unit, _)| text.ends_with(*unit));
    let span = unit.and_then(|(_, seconds)| {
        text[..text.len() - 1].parse::<u64>().ok().filter(|n| *n > 0)?.checked_mul(*seconds)
    });
    span.ok_or_else(|| "a time is a number with s, m, h or d behind it, as in 2h".into())
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn spans() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("2h"), Ok(7200));
        assert_eq!(seconds("7d"), Ok(604_800));
        for bad in ["", "s", "2", "0h", "-1m", "2 h", "1w", "99999999999999999999d", "ü"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
