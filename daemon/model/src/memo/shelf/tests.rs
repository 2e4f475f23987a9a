use super::*;
use std::time::Duration;

fn key(number: u8) -> Key {
    Key([number; 32])
}

fn settings(folder: &Path, entries: usize, bytes: u64) -> MemoSettings {
    MemoSettings { folder: folder.join("memo"), entries, bytes }
}

/// Which of the first ten keys are there, without using them.
fn there(shelf: &Shelf) -> Vec<u8> {
    let index = shelf.lock();
    let there: Vec<u8> = (0..10).filter(|number| index.files.contains_key(&key(*number))).collect();
    let on_disk: Vec<u8> = (0..10).filter(|number| shelf.path(&key(*number)).exists()).collect();
    assert_eq!(there, on_disk, "the index and the folder say the same");
    there
}

#[test]
fn the_least_recently_used_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(settings(folder.path(), 3, 1000)).unwrap();
    for number in 0..3 {
        shelf.put(&key(number), b"answer");
    }
    assert_eq!(shelf.take(&key(0)).unwrap(), b"answer");
    shelf.put(&key(3), b"answer");
    assert_eq!(there(&shelf), [0, 2, 3], "1 was not used for the longest time");

    // Twelve bytes are as much as two answers.
    let few = Shelf::open(settings(folder.path(), 3, 12)).unwrap();
    assert_eq!(there(&few).len(), 2);
    few.put(&key(4), b"an answer as long as all");
    assert_eq!(there(&few), [0; 0], "what is larger than the bound is not kept either");
}

#[test]
fn the_order_of_use_outlasts_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(settings(folder.path(), 9, 1000)).unwrap();
    let day = Duration::from_secs(86_400);
    for (number, days_ago) in [(0, 2), (1, 3), (2, 1)] {
        shelf.put(&key(number), b"answer");
        let file = File::open(shelf.path(&key(number))).unwrap();
        file.set_modified(SystemTime::now() - day * days_ago).unwrap();
    }
    // Being used is what counts.
    shelf.take(&key(1)).unwrap();
    let again = Shelf::open(settings(folder.path(), 2, 1000)).unwrap();
    assert_eq!(there(&again), [1, 2]);
}

#[test]
fn what_is_not_ours_is_left_alone_and_what_a_crash_left_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(settings(folder.path(), 2, 1000)).unwrap();
    shelf.put(&key(1), b"answer");
    let half = shelf.path(&key(2)).with_extension(UNFINISHED);
    let foreign = ["readme.txt", "x.memo"].map(|name| folder.path().join("memo").join(name));
    for path in foreign.iter().chain([&half]) {
        std::fs::write(path, "half").unwrap();
    }
    let again = Shelf::open(settings(folder.path(), 2, 1000)).unwrap();
    assert_eq!(there(&again), [1]);
    assert!(!half.exists() && foreign.iter().all(|path| path.exists()));
}

#[test]
fn what_vanished_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(settings(folder.path(), 2, 1000)).unwrap();
    shelf.put(&key(1), b"answer");
    std::fs::remove_dir_all(folder.path().join("memo")).unwrap();
    assert_eq!((shelf.take(&key(1)), there(&shelf)), (None, Vec::new()));
    shelf.put(&key(1), b"answer");
    assert_eq!(shelf.take(&key(1)).unwrap(), b"answer", "the folder is made again");
}

#[test]
fn a_folder_that_is_none_cannot_be_opened_and_one_that_becomes_none_is_borne() {
    let folder = tempfile::tempdir().unwrap();
    let place = settings(folder.path(), 2, 1000);
    let shelf = Shelf::open(place.clone()).unwrap();
    std::fs::write(&place.folder, "a file").unwrap();
    shelf.put(&key(1), b"answer");
    shelf.put(&key(1), b"answer");
    assert_eq!((shelf.take(&key(1)), shelf.lock().complained), (None, true));
    assert!(Shelf::open(place).is_err());
}

#[test]
fn nobody_else_can_read_what_was_said_here() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::open(settings(folder.path(), 2, 1000)).unwrap();
    shelf.put(&key(1), b"answer");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&shelf.settings.folder), mode(&shelf.path(&key(1)))), (0o700, 0o600));
}
