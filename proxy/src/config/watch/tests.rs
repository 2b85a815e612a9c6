//! Changes of files, sub-directories and rename-over are told; reading is not.

use std::fs;
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

#[test]
fn a_missing_path_is_an_error() {
    assert_eq!(
        Watch::new(Path::new("/nonexistent/rules"))
            .unwrap_err()
            .kind(),
        io::ErrorKind::NotFound
    );
}
