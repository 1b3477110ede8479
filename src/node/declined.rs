//! Who does not want us, or whom we do not want: said once a day for each and reason, in the log, and to
//! the user if he named the address (CHECKLIST H04). What comes again and again is not news.

use std::collections::BTreeMap;

use crate::conn::Reason;
use crate::limits;
use crate::time::Instant;
use crate::wire::host::{Code, VERSIONS};

use super::Node;
use super::event::Event;
use super::peer::Peer;

/// What was said lately: about whom, and why.
#[derive(Default)]
pub(super) struct Declined(BTreeMap<(String, &'static str), Instant>);

impl Declined {
    /// Whether it is to be said, which it is then taken to be. `named`: the user asked for it, so that it
    /// is said however much else there was.
    pub(super) fn is_news(
        &mut self,
        now: Instant,
        who: String,
        code: &'static str,
        named: bool,
    ) -> bool {
        self.0.retain(|_, said| now.since(*said) < limits::DECLINED_EVERY);
        let said = (who, code);
        // Of many it is said of the first: rather too little than a line for each of thousands.
        let news = !self.0.contains_key(&said) && (named || self.0.len() < limits::DECLINED_SAID);
        if news {
            self.0.insert(said, now);
        }
        news
    }
}

impl Node {
    /// A connection is over because one side does not want the other.
    pub(super) fn decline(&mut self, now: Instant, peer: &Peer, why: Reason) {
        if let Some(what) = sentence(peer, why) {
            self.say_once(now, peer, why.code(), &what);
        }
    }

    /// A peer has nothing of the one thing that it was dialled for.
    pub(super) fn lacks_all(&mut self, now: Instant, peer: &Peer) {
        if let [(topic, true)] = peer.dialed_for()
            && let Some(link) = self.link_of(*topic)
        {
            let what =
                format!("does not keep {link}: check the link, and whether it is shared there");
            self.say_once(now, peer, "stranger", &what);
        }
    }

    fn say_once(&mut self, now: Instant, peer: &Peer, code: &'static str, what: &str) {
        // Who it is may be known or not, and one that comes in has another port each time.
        let host = peer.kin.host().map(|host| host.to_string());
        let at = peer.dialed.map(|addr| addr.to_string());
        let at = at.or(peer.address().map(|addr| addr.ip().to_string()));
        let configured = self.is_configured(peer);
        let (mut news, mut named) = (true, false);
        for who in host.into_iter().chain(at) {
            let new = self.declined.is_news(now, who, code, configured && peer.dialed.is_some());
            (news, named) = (news & new, true);
        }
        if !news || !named {
            return;
        }
        let text = format!("{} {what}", peer.dialed.map_or(peer.name(), |addr| addr.to_string()));
        log::info!("{text}");
        if configured {
            self.publish(&Event::Warning { text });
        }
    }
}

/// What happened and what to do, if it is an end of that kind.
fn sentence(peer: &Peer, why: Reason) -> Option<String> {
    Some(match why {
        Reason::Ourselves | Reason::Told(Code::Ourselves) => {
            "is this very process: take the address off its list".to_owned()
        }
        Reason::Version | Reason::Told(Code::Version) => {
            let ours = format!("ours: {} to {}", VERSIONS.first, VERSIONS.last);
            let told = peer.told.as_ref().and_then(|close| close.versions);
            let theirs = told.or(peer.said_versions);
            let theirs = theirs.map(|of| format!("its: {} to {}, ", of.first, of.last));
            let theirs = theirs.unwrap_or_default();
            format!(
                "speaks no version of the protocol that we speak ({theirs}{ours}): update the older one"
            )
        }
        Reason::Banned => "is banned here; gannet unban lifts that".to_owned(),
        Reason::Told(Code::Banned) => {
            "has banned this host; only its user can lift that".to_owned()
        }
        Reason::NotAllowed => "is not among the hosts that are allowed here".to_owned(),
        Reason::Told(Code::NotAllowed) => {
            "does not have this host among those that it allows; its user can add it".to_owned()
        }
        Reason::Told(Code::Paused) => {
            "has paused what this host wants of it; it is tried again".to_owned()
        }
        Reason::Paused if peer.dialed.is_none() => "asks for what is paused here".to_owned(),
        Reason::Full => "was refused: there is no room here for more peers".to_owned(),
        Reason::Told(Code::Full) => "has no room for more peers; it is tried again".to_owned(),
        Reason::UnknownFeed => "asks for what is not here".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn h04_each_refusal_is_said_once_a_day_for_each_peer_and_a_crowd_of_them_is_not() {
        let mut declined = Declined::default();
        let news = |declined: &mut Declined, now, who: &str, code| {
            declined.is_news(Instant(0) + now, who.to_owned(), code, false)
        };
        let hour = Duration::from_secs(3600);
        assert!(news(&mut declined, hour, "a", "version"));
        assert!(news(&mut declined, hour, "a", "full") && news(&mut declined, hour, "b", "full"));
        assert!(!news(&mut declined, 2 * hour, "a", "version"));
        assert!(news(&mut declined, 25 * hour, "a", "version"));
        for n in 0..limits::DECLINED_SAID {
            news(&mut declined, 26 * hour, &n.to_string(), "full");
        }
        assert!(!news(&mut declined, 27 * hour, "c", "full"));
        assert_eq!(declined.0.len(), limits::DECLINED_SAID);
        let user_named = |declined: &mut Declined, now| {
            declined.is_news(Instant(0) + now, "c".to_owned(), "version", true)
        };
        assert!(
            user_named(&mut declined, 27 * hour),
            "whom the user named is told of all the same"
        );
        assert!(!user_named(&mut declined, 28 * hour), "but once");
    }
}
