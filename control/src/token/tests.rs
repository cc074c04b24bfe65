//! Tokens over a ledger in memory.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use redb::backends::InMemoryBackend;

use super::*;
use crate::embedded::{Embedded, Kept};

fn ledger() -> Embedded {
    Embedded::on(|| Ok(InMemoryBackend::new()), Kept::default()).unwrap()
}

async fn make(
    ledger: &dyn Ledger,
    document: impl Fn(String) -> TokenDocument,
) -> Result<(Secret, TokenDocument), TokenError> {
    make_once(ledger, &random_name().unwrap(), document).await
}

fn revoked() -> Revoked {
    Revoked { by: "first".to_owned(), at: "now".to_owned(), keeps_made: false }
}

fn purger(hash: String) -> TokenDocument {
    TokenDocument {
        put_in_by: Vec::new(),
        note: "a robot".to_owned(),
        hash,
        actions: vec![Action::Purge],
        sites: Some(vec!["shop".to_owned()]),
        made_by: "first".to_owned(),
        made_at: "now".to_owned(),
        revoked: None,
    }
}

#[tokio::test]
async fn only_the_secret_is_its_owner_and_only_until_it_is_revoked() {
    let ledger = ledger();
    let (secret, made) = make(&ledger, purger).await.unwrap();
    let shown = Secret::parse(secret.reveal()).unwrap();
    let (id, found) = whose(&ledger, &shown).await.unwrap();
    assert_eq!((id.as_str(), &found), (secret.id(), &made));
    let mut forged = secret.reveal().to_owned();
    let last = forged.pop().unwrap();
    forged.push(if last == '0' { '1' } else { '0' });
    for wrong in [&forged, &format!("nct_{}_00", secret.id()), "nct_none_00"] {
        let wrong = Secret::parse(wrong).unwrap();
        assert!(matches!(whose(&ledger, &wrong).await, Err(Unknown::Token)), "{wrong:?}");
    }
    revoke(&ledger, secret.id(), revoked()).await.unwrap();
    assert!(matches!(whose(&ledger, &shown).await, Err(Unknown::Token)));
    let again = Revoked { by: "other".to_owned(), ..revoked() };
    let kept = revoke(&ledger, secret.id(), again).await.unwrap();
    assert_eq!(kept.document.revoked, Some(revoked()), "who revoked it first did");
    assert!(kept.revoked.is_empty(), "nothing was revoked by that");
    let none = revoke(&ledger, "none", revoked()).await;
    assert!(matches!(none, Err(TokenError::NoSuchToken(_))));
    // What is kept of a revoked token is no secret's hash: no caller may show an empty one.
    assert!(!shown.matches(""));
}

#[tokio::test]
async fn the_ledger_never_holds_a_secret() {
    let ledger = ledger();
    let (secret, _) = make(&ledger, purger).await.unwrap();
    let random = secret.reveal().rsplit('_').next().unwrap();
    assert_eq!(random.len(), 64);
    for document in ledger.list("").await.unwrap().documents {
        assert!(!String::from_utf8_lossy(&document.value).contains(random));
    }
    assert!(!format!("{secret:?}").contains(random));
    let (other, _) = make(&ledger, purger).await.unwrap();
    assert_ne!((other.id(), other.reveal()), (secret.id(), secret.reveal()));
    assert_eq!(list(&ledger).await.unwrap().tokens.len(), 2);
}

#[test]
fn what_is_no_secret_is_not_looked_up() {
    let long = format!("nct_a_{}", "0".repeat(300));
    for text in
        ["", "nct_", "nct_a", "nct_a_", "nct__b", "nct_a/b_c", "nct_a_b c", "tok_a_b", &long]
    {
        assert_eq!(Secret::parse(text), None, "{text}");
    }
}

#[test]
fn nobody_gives_what_it_has_not() {
    let own = TokenDocument {
        actions: vec![Action::Purge, Action::Tokens],
        sites: Some(vec!["shop".to_owned(), "blog".to_owned()]),
        ..purger(String::new())
    };
    let shop = ["shop".to_owned()];
    assert!(own.may_give(&[Action::Purge], Some(&shop)));
    assert!(!own.may_give(&[Action::Read], Some(&shop)));
    assert!(!own.may_give(&[Action::Purge], None), "all sites are more than two");
    assert!(!own.may_give(&[Action::Purge], Some(&["shop".to_owned(), "www".to_owned()])));
    let all = TokenDocument { sites: None, ..own };
    assert!(all.may_give(&[Action::Tokens], None));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_first_token_is_left_once_for_its_owner_alone() {
    let ledger = ledger();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    leave_first(&ledger, &path, "now").await.unwrap();
    assert_eq!(mode(&path), 0o600);
    let text = fs::read_to_string(&path).unwrap();
    let secret = Secret::parse(text.trim()).unwrap();
    let (id, document) = whose(&ledger, &secret).await.unwrap();
    assert_eq!(id, FIRST);
    assert!(Action::ALL.iter().all(|action| document.may(*action)) && document.covers("any"));
    leave_first(&ledger, &path, "later").await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    // Revoked, it is not made again.
    revoke(&ledger, FIRST, revoked()).await.unwrap();
    fs::remove_file(&path).unwrap();
    leave_first(&ledger, &path, "later").await.unwrap();
    assert!(!path.exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn who_ended_before_the_first_token_was_in_its_place_is_caught_up_with() {
    let ledger = ledger();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    leave_first(&ledger, &path, "now").await.unwrap();
    let new = folder.path().join("token.new");
    fs::rename(&path, &new).unwrap();
    leave_first(&ledger, &path, "now").await.unwrap();
    assert!(path.exists() && !new.exists());
    // What another process left behind is none.
    fs::remove_file(&path).unwrap();
    fs::write(&new, Secret::named(FIRST).unwrap().reveal()).unwrap();
    leave_first(&ledger, &path, "now").await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn one_of_two_that_begin_at_once_makes_the_first_token() {
    let ledger = ledger();
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let paths = [one.path().join("token"), other.path().join("token")];
    let [first, second] = &paths;
    let left =
        tokio::join!(leave_first(&ledger, first, "now"), leave_first(&ledger, second, "now"));
    left.0.unwrap();
    left.1.unwrap();
    assert_eq!(paths.iter().filter(|path| path.exists()).count(), 1);
}

#[tokio::test]
async fn revoked_tokens_make_room_and_tokens_in_use_do_not() {
    let ledger = ledger();
    let (old, _) = make(&ledger, purger).await.unwrap();
    let made = futures_util::future::join_all((1..TOKENS_MAX).map(|_| make(&ledger, purger))).await;
    assert!(made.iter().all(Result::is_ok));
    assert!(matches!(make(&ledger, purger).await, Err(TokenError::TooMany)));
    revoke(&ledger, old.id(), revoked()).await.unwrap();
    make(&ledger, purger).await.unwrap();
    assert!(matches!(make(&ledger, purger).await, Err(TokenError::TooMany)));
    assert!(list(&ledger).await.unwrap().tokens.iter().all(|(id, _)| id != old.id()));
}

/// A token that `maker` has made.
async fn made_by(ledger: &Embedded, maker: &str) -> Secret {
    let document = |hash| TokenDocument { made_by: maker.to_owned(), ..purger(hash) };
    make(ledger, document).await.unwrap().0
}

async fn are_good(ledger: &Embedded, secrets: &[&Secret]) -> Vec<bool> {
    let mut good = Vec::new();
    for secret in secrets {
        good.push(whose(ledger, secret).await.is_ok());
    }
    good
}

#[tokio::test]
async fn a_revoked_token_takes_with_it_what_it_has_made() {
    let ledger = ledger();
    let one = made_by(&ledger, "first").await;
    let other = made_by(&ledger, "first").await;
    let child = made_by(&ledger, one.id()).await;
    let grandchild = made_by(&ledger, child.id()).await;
    let all = [&one, &child, &grandchild, &other];
    let revocation = revoke(&ledger, one.id(), revoked()).await.unwrap();
    assert_eq!(are_good(&ledger, &all).await, [false, false, false, true]);
    let ids = [one.id(), child.id(), grandchild.id()];
    assert!(revocation.revoked.iter().eq(ids), "{:?}", revocation.revoked);
    // Broken off after the first step, it is ended by doing it again.
    let late = made_by(&ledger, child.id()).await;
    assert!(!is_good(&ledger, child.id()).await.unwrap(), "who made it sees that");
    let again = revoke(&ledger, one.id(), revoked()).await.unwrap();
    assert_eq!((are_good(&ledger, &[&late]).await, again.revoked.len()), (vec![false], 1));
}

#[tokio::test]
async fn a_token_that_is_only_taken_out_of_use_leaves_what_it_has_made() {
    let ledger = ledger();
    let maker = made_by(&ledger, "first").await;
    let one = made_by(&ledger, maker.id()).await;
    let child = made_by(&ledger, one.id()).await;
    let keeping = Revoked { keeps_made: true, ..revoked() };
    let revocation = revoke(&ledger, one.id(), keeping).await.unwrap();
    assert_eq!(revocation.revoked, [one.id()]);
    assert_eq!(are_good(&ledger, &[&one, &child]).await, [false, true]);
    // It stands for itself now, as it would if nobody remembered its maker.
    revoke(&ledger, maker.id(), revoked()).await.unwrap();
    assert_eq!(are_good(&ledger, &[&maker, &child]).await, [false, true]);
    revoke(&ledger, child.id(), revoked()).await.unwrap();
    assert_eq!(are_good(&ledger, &[&child]).await, [false]);
}

#[tokio::test]
async fn who_revokes_keeps_the_token_in_hand_and_what_that_has_made() {
    let ledger = ledger();
    let folder = tempfile::tempdir().unwrap();
    leave_first(&ledger, &folder.path().join("token"), "now").await.unwrap();
    let maker = async |made_by: &str| {
        let made_by = made_by.to_owned();
        let actions = Action::ALL.to_vec();
        let document = |hash| TokenDocument {
            made_by: made_by.clone(),
            actions: actions.clone(),
            sites: None,
            ..purger(hash)
        };
        make(&ledger, document).await.unwrap().0
    };
    let one = maker(FIRST).await;
    let (own, other) = (maker(one.id()).await, maker(one.id()).await);
    let made = made_by(&ledger, own.id()).await;
    let by = |id: &str| Revoked { by: id.to_owned(), ..revoked() };
    let all = || async { list(&ledger).await.unwrap().tokens };
    assert!(leaves_a_maker(&all().await, FIRST, &by(own.id())));
    let revocation = revoke(&ledger, FIRST, by(own.id())).await.unwrap();
    let four = [&one, &other, &own, &made];
    assert_eq!(are_good(&ledger, &four).await, [false, false, true, true], "{revocation:?}");
    // The last one that can make others stays, unless it has made one that can.
    assert!(!leaves_a_maker(&all().await, own.id(), &by(own.id())));
    let heir = maker(own.id()).await;
    assert!(!leaves_a_maker(&all().await, own.id(), &by(own.id())), "it would go with it");
    let keeping = Revoked { keeps_made: true, ..by(own.id()) };
    assert!(leaves_a_maker(&all().await, own.id(), &keeping));
    revoke(&ledger, own.id(), keeping).await.unwrap();
    assert_eq!(are_good(&ledger, &[&own, &heir, &made]).await, [false, true, true]);
}

#[tokio::test]
async fn only_who_may_make_any_token_counts_as_one_that_is_left() {
    let ledger = ledger();
    let folder = tempfile::tempdir().unwrap();
    leave_first(&ledger, &folder.path().join("token"), "now").await.unwrap();
    let document =
        |hash| TokenDocument { actions: vec![Action::Tokens], sites: None, ..purger(hash) };
    make(&ledger, document).await.unwrap();
    let all = list(&ledger).await.unwrap().tokens;
    let keeping = Revoked { keeps_made: true, ..revoked() };
    assert!(!leaves_a_maker(&all, FIRST, &keeping), "nobody could ever purge again");
    // Where there is none anyway, revoking goes on.
    let others: Vec<_> = all.into_iter().filter(|(id, _)| id != FIRST).collect();
    assert!(leaves_a_maker(&others, &others[0].0, &keeping));
}

#[tokio::test]
async fn what_a_token_below_a_revoked_one_was_making_is_not_good() {
    let ledger = ledger();
    let top = made_by(&ledger, FIRST).await;
    let maker = made_by(&ledger, top.id()).await;
    let below = made_by(&ledger, maker.id()).await;
    let other = made_by(&ledger, FIRST).await;
    assert!(is_good(&ledger, below.id()).await.unwrap());
    // As far as one who has just begun to revoke it has come.
    let by = |id: &str| Revoked { by: id.to_owned(), ..revoked() };
    revoke::one(&ledger, top.id(), &by(other.id())).await.unwrap();
    for token in [&top, &maker, &below] {
        assert!(!is_good(&ledger, token.id()).await.unwrap(), "{token:?}");
    }
    assert!(is_good(&ledger, other.id()).await.unwrap());
    // Who revokes what it was made by goes on, and so does what it has made.
    let top = made_by(&ledger, FIRST).await;
    let maker = made_by(&ledger, top.id()).await;
    let below = made_by(&ledger, maker.id()).await;
    let beside = made_by(&ledger, top.id()).await;
    revoke::one(&ledger, top.id(), &by(maker.id())).await.unwrap();
    for (token, good) in [(&maker, true), (&below, true), (&beside, false), (&top, false)] {
        assert_eq!(is_good(&ledger, token.id()).await.unwrap(), good, "{token:?}");
    }
    // What was only taken out of use took nothing with it.
    let top = made_by(&ledger, FIRST).await;
    let below = made_by(&ledger, top.id()).await;
    let keeping = Revoked { keeps_made: true, ..by(other.id()) };
    revoke(&ledger, top.id(), keeping).await.unwrap();
    assert!(is_good(&ledger, below.id()).await.unwrap());
}

#[tokio::test]
async fn who_revokes_for_good_what_was_taken_out_of_use_takes_what_it_has_made() {
    let ledger = ledger();
    let top = made_by(&ledger, FIRST).await;
    let child = made_by(&ledger, top.id()).await;
    let keeping = Revoked { keeps_made: true, ..revoked() };
    revoke(&ledger, top.id(), keeping.clone()).await.unwrap();
    assert_eq!(are_good(&ledger, &[&top, &child]).await, [false, true]);
    let revocation = revoke(&ledger, top.id(), revoked()).await.unwrap();
    assert_eq!(revocation.revoked, [child.id()]);
    assert_eq!(revocation.document.revoked, Some(revoked()));
    assert_eq!(are_good(&ledger, &[&top, &child]).await, [false, false]);
    // The milder word comes too late.
    let revocation = revoke(&ledger, top.id(), keeping).await.unwrap();
    assert_eq!(revocation.document.revoked, Some(revoked()));
}

#[tokio::test]
async fn revoked_tokens_do_not_stay_for_ever() {
    let ledger = ledger();
    let folder = tempfile::tempdir().unwrap();
    leave_first(&ledger, &folder.path().join("token"), "now").await.unwrap();
    revoke(&ledger, FIRST, revoked()).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..REVOKED_MAX + 5 {
        let (secret, _) = make(&ledger, purger).await.unwrap();
        revoke(&ledger, secret.id(), revoked()).await.unwrap();
        ids.push(secret.id().to_owned());
    }
    let tokens = list(&ledger).await.unwrap().tokens;
    assert_eq!(tokens.len(), REVOKED_MAX + 1, "the first one stays beside them");
    let is_there = |id: &str| tokens.iter().any(|(known, _)| known == id);
    assert!(is_there(FIRST) && !ids[..5].iter().any(|id| is_there(id)), "the oldest have gone");
}

#[tokio::test]
async fn a_document_that_nobody_can_read_hinders_no_other_token() {
    let ledger = ledger();
    let (good, _) = make(&ledger, purger).await.unwrap();
    let (newer, broken) = (key_of("newer").unwrap(), key_of(FIRST).unwrap());
    for (key, text) in [(&newer, r#"{"schema":9}"#), (&broken, "{")] {
        ledger.write(key, bytes::Bytes::from(text), Expect::Absent).await.unwrap();
    }
    let listed = list(&ledger).await.unwrap();
    assert_eq!((listed.tokens.len(), listed.unreadable.len()), (1, 2));
    whose(&ledger, &good).await.unwrap();
    for id in ["newer", FIRST] {
        let secret = Secret::named(id).unwrap();
        assert!(matches!(whose(&ledger, &secret).await, Err(Unknown::Token)));
    }
    let folder = tempfile::tempdir().unwrap();
    leave_first(&ledger, &folder.path().join("token"), "now").await.unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "it is not made again");
    revoke(&ledger, good.id(), revoked()).await.unwrap();
    revoke(&ledger, "newer", revoked()).await.unwrap();
    let listed = list(&ledger).await.unwrap();
    assert_eq!((listed.tokens.len(), listed.unreadable.len()), (2, 1));
    make(&ledger, purger).await.unwrap();
}
