//! What a copy says after lists, events and writes in any order.

use kube::runtime::watcher::Event;

use super::*;

/// Name, version, text.
#[derive(Clone, Copy)]
struct Told(&'static str, u64, &'static str);

#[derive(Clone, Debug, PartialEq)]
struct Thing {
    version: u64,
    text: &'static str,
}

impl Source for Told {
    type Kept = Thing;

    fn keep(self) -> Option<(Owner, String, Thing)> {
        let Self(name, version, text) = self;
        Some((owner(), name.to_owned(), Thing { version, text }))
    }
}

impl Kept for Thing {
    fn version(&self) -> Option<u64> {
        Some(self.version)
    }

    fn is_news(&self, new: &Self) -> bool {
        self.text != new.text
    }
}

fn owner() -> Owner {
    Owner {
        namespace: "home".to_owned(),
        name: "kitchen".to_owned(),
    }
}

fn text(mirror: &Mirror<Thing>, name: &str) -> Option<&'static str> {
    mirror.get(&owner(), name).map(|thing| thing.text)
}

fn listed(mirror: &Mirror<Thing>, things: &[(&'static str, u64, &'static str)]) -> bool {
    mirror.take(Event::<Told>::Init);
    for thing in things {
        mirror.take(Event::InitApply(Told(thing.0, thing.1, thing.2)));
    }
    !mirror.take(Event::<Told>::InitDone).is_empty()
}

#[test]
fn a_list_is_believed_when_it_is_whole() {
    let mirror = Mirror::<Thing>::default();
    mirror.take(Event::<Told>::Init);
    mirror.take(Event::InitApply(Told("a", 3, "x")));
    assert!(!mirror.is_complete());
    assert_eq!(text(&mirror, "a"), None);
    mirror.take(Event::<Told>::InitDone);
    assert!(mirror.is_complete());
    assert_eq!(text(&mirror, "a"), Some("x"));
}

#[test]
fn events_follow_and_only_news_asks_for_a_round() {
    let mirror = Mirror::<Thing>::default();
    listed(&mirror, &[("a", 3, "x")]);
    assert_eq!(mirror.take(Event::Apply(Told("a", 4, "x"))), []);
    assert_eq!(mirror.take(Event::Apply(Told("a", 5, "y"))), [owner()]);
    assert_eq!(mirror.take(Event::Apply(Told("b", 6, "z"))), [owner()]);
    assert_eq!(mirror.all(&owner()).len(), 2);
    assert_eq!(mirror.take(Event::Delete(Told("a", 7, "y"))), [owner()]);
    assert_eq!(mirror.take(Event::Delete(Told("a", 7, "y"))), []);
    assert_eq!(text(&mirror, "a"), None);
}

#[test]
fn what_we_wrote_outweighs_older_events() {
    let mirror = Mirror::<Thing>::default();
    listed(&mirror, &[("a", 3, "x")]);
    mirror.put(Told("a", 9, "ours"));
    assert_eq!(mirror.take(Event::Apply(Told("a", 8, "theirs"))), []);
    assert_eq!(text(&mirror, "a"), Some("ours"));
    // Its own echo is no news, and what comes later is.
    assert_eq!(mirror.take(Event::Apply(Told("a", 9, "ours"))), []);
    assert_eq!(mirror.take(Event::Apply(Told("a", 10, "drift"))), [owner()]);
    // An answer that comes after the watch has gone further changes nothing.
    mirror.put(Told("a", 9, "ours"));
    assert_eq!(text(&mirror, "a"), Some("drift"));
}

#[test]
fn a_deletion_that_is_older_than_its_successor_takes_nothing_away() {
    let mirror = Mirror::<Thing>::default();
    mirror.put(Told("a", 9, "second"));
    assert_eq!(mirror.take(Event::Delete(Told("a", 8, "first"))), []);
    assert_eq!(text(&mirror, "a"), Some("second"));
    mirror.remove(&owner(), "a");
    assert_eq!(text(&mirror, "a"), None);
}

#[tokio::test(start_paused = true)]
async fn a_list_from_a_cache_does_not_hide_what_we_just_wrote() {
    let mirror = Mirror::<Thing>::default();
    listed(&mirror, &[("a", 3, "x")]);
    mirror.put(Told("a", 9, "ours"));
    mirror.put(Told("b", 10, "made"));
    listed(&mirror, &[("a", 3, "x")]);
    assert_eq!(text(&mirror, "a"), Some("ours"));
    assert_eq!(text(&mirror, "b"), Some("made"));
    // Later the list is right: the cluster was set back.
    tokio::time::advance(OURS_COUNTS).await;
    assert!(listed(&mirror, &[("a", 3, "x")]));
    assert_eq!((text(&mirror, "a"), text(&mirror, "b")), (Some("x"), None));
}

#[test]
fn a_second_list_tells_what_changed_meanwhile() {
    let mirror = Mirror::<Thing>::default();
    assert!(!listed(&mirror, &[("a", 3, "x")]));
    assert!(listed(&mirror, &[("a", 5, "y")]));
    assert!(listed(&mirror, &[]));
}

#[test]
fn trouble_is_new_once() {
    let mirror = Mirror::<Thing>::default();
    assert!(mirror.set_trouble(Some("no".to_owned())));
    assert!(!mirror.set_trouble(Some("no".to_owned())));
    assert!(mirror.set_trouble(None));
    assert_eq!(mirror.trouble(), None);
}
