//! Changes of files, sub-directories and rename-over are told; reading is not.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

async fn told(watch: &mut Watch) {
    tokio::time::timeout(PATIENCE, watch.changed())
        .await
        .expect("a change is told");
}

#[tokio::test]
async fn changes_are_told_in_new_directories_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut watch = Watch::new(directory.path()).unwrap();
    fs::write(directory.path().join("a.yml"), "a").unwrap();
    told(&mut watch).await;
    let below = directory.path().join("below");
    fs::create_dir(&below).unwrap();
    told(&mut watch).await;
    fs::write(below.join("b.yml"), "b").unwrap();
    told(&mut watch).await;
    fs::remove_file(below.join("b.yml")).unwrap();
    told(&mut watch).await;
}

#[tokio::test]
async fn a_file_is_watched_through_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rules.yml");
    fs::write(&file, "a").unwrap();
    let mut watch = Watch::new(&file).unwrap();
    for content in ["b", "c"] {
        let new = directory.path().join("new");
        fs::write(&new, content).unwrap();
        fs::rename(&new, &file).unwrap();
        told(&mut watch).await;
    }
}

#[tokio::test]
async fn being_cancelled_loses_no_change() {
    let directory = tempfile::tempdir().unwrap();
    let mut watch = Watch::new(directory.path()).unwrap();
    fs::write(directory.path().join("a.yml"), "a").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while tokio::time::timeout(Duration::from_millis(20), watch.changed())
        .await
        .is_err()
    {
        assert!(Instant::now() < deadline, "a change is told");
    }
}

#[test]
fn reading_and_other_files_are_no_change() {
    use notify::event::{AccessKind, CreateKind, EventKind};
    let file = PathBuf::from("/rules/a.yml");
    let event = |kind, path: &str| notify::Event::new(kind).add_path(PathBuf::from(path));
    let create = EventKind::Create(CreateKind::File);
    assert!(concerns(&event(create, "/rules/a.yml"), Some(&file)));
    assert!(!concerns(&event(create, "/rules/b.yml"), Some(&file)));
    assert!(concerns(&event(create, "/rules/b.yml"), None));
    assert!(concerns(&event(create, "/rules/..data"), Some(&file)));
    assert!(!concerns(
        &event(EventKind::Access(AccessKind::Any), "/rules/a.yml"),
        None
    ));
    assert!(concerns(&notify::Event::new(EventKind::Other), Some(&file)));
}

#[tokio::test]
async fn what_is_put_in_the_place_of_a_directory_is_watched() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let mut watch = Watch::new(&path("rules")).unwrap();
    let mut files = watch.files().unwrap().unwrap();
    let follow = BTreeSet::from([path("rules")]);
    assert!(files.follow(&follow).is_empty());
    // It comes, is replaced, and is a link in the end.
    fs::create_dir(path("rules")).unwrap();
    told(&mut watch).await;
    fs::write(path("rules/a.yml"), "a").unwrap();
    told(&mut watch).await;
    fs::create_dir(path("new")).unwrap();
    fs::rename(path("rules"), path("old")).unwrap();
    fs::rename(path("new"), path("rules")).unwrap();
    told(&mut watch).await;
    fs::write(path("rules/b.yml"), "b").unwrap();
    told(&mut watch).await;
    fs::remove_dir_all(path("rules")).unwrap();
    symlink(path("old"), path("rules")).unwrap();
    told(&mut watch).await;
    fs::write(path("old/c.yml"), "c").unwrap();
    told(&mut watch).await;
}

#[tokio::test]
async fn links_to_files_elsewhere_are_followed() {
    let (rules, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = |name: &str| elsewhere.path().join(name);
    for version in ["1", "2"] {
        fs::create_dir(path(version)).unwrap();
        fs::write(path(version).join("a.yml"), version).unwrap();
    }
    symlink(path("1"), path("current")).unwrap();
    let link = rules.path().join("a.yml");
    symlink(path("current/a.yml"), &link).unwrap();
    let mut watch = Watch::new(rules.path()).unwrap();
    let mut files = watch.files().unwrap().unwrap();
    let follow = BTreeSet::from([rules.path().to_owned(), link]);
    assert!(files.follow(&follow).is_empty());
    symlink(path("2"), path("next")).unwrap();
    fs::rename(path("next"), path("current")).unwrap();
    told(&mut watch).await;
    assert!(files.follow(&follow).is_empty());
    fs::write(path("2/a.yml"), "3").unwrap();
    told(&mut watch).await;
}
