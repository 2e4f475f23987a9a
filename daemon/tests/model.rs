//! `hob model` as a person meets it: the real binary, a server of the test's own, and what is said.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up says so at once")]

use insta::assert_snapshot;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that anything here may take.
const DEADLINE: Duration = Duration::from_secs(20);

const MANIFEST: &str = r#"
name = "little"
repository = "someone/little-ONNX"
revision = "0123456789abcdef"
licence = "MIT"
files = [{ path = "config.json", bytes = 2, sha256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" }]
[variants.q4]
description = "of the tests"
files = [{ path = "onnx/embed_tokens_q4.onnx", bytes = 5 }]
"#;

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let asked = lines.next().unwrap_or_default();
    let _headers = lines.find(String::is_empty);
    let body = match asked.split(' ').nth(1).unwrap_or_default() {
        "/someone/little-ONNX/resolve/0123456789abcdef/config.json" => "{}",
        "/someone/little-ONNX/resolve/0123456789abcdef/onnx/embed_tokens_q4.onnx" => "graph",
        _ => return write!(stream, "HTTP/1.1 404 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    };
    write!(stream, "HTTP/1.1 200 X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// The address of a hub that has the little model.
fn hub() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().for_each(|stream| serve(stream.unwrap()).unwrap()));
    address
}

struct Board {
    folder: tempfile::TempDir,
    hub: String,
}

impl Board {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub = hub();
        fs::write(folder.path().join("own.toml"), MANIFEST).unwrap();
        let settings = format!(
            "[model]\nfolder = 'models/little'\nstore = 'models'\nhub = '{hub}'\n[doors]\nsocket = 'control.sock'\n"
        );
        fs::write(folder.path().join("hob.toml"), settings).unwrap();
        Self { folder, hub }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hob"));
        command.args(arguments.split(' ')).env_clear().env("HOB_CONFIG", self.path("hob.toml"));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// How `hob model …` ends, what it prints and what it says aside.
    fn hob(&self, arguments: &str) -> String {
        let output = self.command(&format!("model {arguments}")).output().unwrap();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).replace(&*self.folder.path().to_string_lossy(), "<board>");
            text.replace(&self.hub.replace("http://", ""), "<hub>").trim_end().to_owned()
        };
        let (printed, aside) = (text(&output.stdout), text(&output.stderr));
        let lines: Vec<String> = aside.lines().map(|line| format!("! {line}")).collect();
        let lines = lines.into_iter().chain(printed.lines().map(|line| line.trim_end().to_owned()));
        let lines = lines.collect::<Vec<_>>().join("\n");
        format!("{lines}\n= {}", output.status.code().unwrap())
    }

    fn with_little() -> Self {
        let board = Self::new();
        assert!(board.hob("fetch --manifest own.toml").ends_with("= 0"));
        board
    }
}

#[test]
fn a_model_is_fetched_and_the_next_step_named() {
    let board = Board::new();
    assert_snapshot!(board.hob("fetch --manifest own.toml --jobs 1"), @r#"
    ! 2 files, 7 bytes
    ! 70 % of 7 bytes
    ! onnx/embed_tokens_q4.onnx is there
    ! 100 % of 7 bytes
    ! config.json is there
    fetched little q4, 2 files, 7 bytes, in <board>/models/little
    1 of 2 files agree with hashes known beforehand
    no hashes were known of these, and they are recorded as they came: onnx/embed_tokens_q4.onnx
    now put this into <board>/hob.toml, and look: hob check --config <board>/hob.toml
      [model]
      folder = "<board>/models/little"
      variant = "q4"
    = 0
    "#);
    assert_eq!(fs::read(board.path("models/little/onnx/embed_tokens_q4.onnx")).unwrap(), b"graph");
    let other = MANIFEST.replace("variants.q4]", "variants.q1]");
    fs::write(board.path("other.toml"), other).unwrap();
    let said = board.hob("fetch --manifest other.toml --name other");
    assert!(said.contains("this hob keeps the model and cannot run it: there is no variant 'q1'"), "{said}");
    let json = board.hob("fetch --manifest own.toml --json");
    assert!(json.contains("\"was_there\": true") && json.contains("\"checksum\": \"recorded\""), "{json}");
}

#[test]
fn the_list_shows_what_is_there_and_what_is_in_use() {
    let board = Board::new();
    assert_snapshot!(board.hob("list"), @"
    <board>/models is empty: hob model fetch gemma-4-e2b
    = 0
    ");
    let board = Board::with_little();
    assert!(board.hob("fetch --manifest own.toml --name other").ends_with("= 0"));
    fs::create_dir(board.path("models/by-hand")).unwrap();
    fs::create_dir(board.path("models/.partial/begun")).unwrap();
    assert_snapshot!(board.hob("list"), @"
      by-hand                  <board>/models/by-hand has no hob-model.toml: it was not put there by hob; use hob model add
    * little                   q4            7 bytes  0123456789ab  hashes 1 known, 1 recorded
      other                    q4            7 bytes  0123456789ab  hashes 1 known, 1 recorded
      begun                                  0 bytes  not whole: fetch it again, or remove it
    = 0
    ");
}

#[test]
fn a_damaged_model_is_named_file_by_file() {
    let board = Board::with_little();
    assert_snapshot!(board.hob("verify"), @"
    little: 2 files are as recorded
    = 0
    ");
    fs::write(board.path("models/little/config.json"), "[]").unwrap();
    fs::remove_file(board.path("models/little/onnx/embed_tokens_q4.onnx")).unwrap();
    assert_snapshot!(board.hob("verify little"), @"
    little: config.json has other bytes than it had
    little: onnx/embed_tokens_q4.onnx is missing
    little is damaged: hob model remove little, then fetch or add it again
    = 1
    ");
    assert_snapshot!(board.hob("verify nothing"), @"
    ! hob: <board>/models has no model called nothing, and there is no such folder
    = 1
    ");
    assert_eq!(board.hob("verify ./models/little"), board.hob("verify little"));
}

#[test]
fn a_folder_that_cannot_be_verified_hides_no_other() {
    let board = Board::with_little();
    fs::create_dir(board.path("models/by-hand")).unwrap();
    assert_snapshot!(board.hob("verify"), @"
    cannot verify <board>/models/by-hand: <board>/models/by-hand has no hob-model.toml: it was not put there by hob; use hob model add
    little: 2 files are as recorded
    = 1
    ");
    assert!(board.hob("verify --json").contains("\"reason\": "), "programs are told too");
}

#[test]
fn the_model_in_use_is_removed_by_force_only() {
    let board = Board::with_little();
    assert_snapshot!(board.hob("remove little --yes"), @"
    ! hob: the settings name <board>/models/little: set `[model] folder` to another, or use --force
    = 2
    ");
    assert_snapshot!(board.hob("remove little --force"), @"
    ! hob: Remove little from <board>/models? (no one is here to ask; use --yes)
    = 2
    ");
    assert_snapshot!(board.hob("remove little --force --yes"), @"
    removed little
    = 0
    ");
    assert_snapshot!(board.hob("remove little --yes --force"), @"
    ! hob: <board>/models has no model called little: hob model list shows what it has
    = 1
    ");
    assert!(!board.path("models/little").exists());
}

#[test]
fn a_folder_by_hand_is_added() {
    let board = Board::new();
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny").canonicalize().unwrap();
    let add =
        |more: &str| board.hob(&format!("add {} {more}", tiny.display())).replace(&*tiny.to_string_lossy(), "<tiny>");
    assert_snapshot!(add("--name mine"), @"
    ! hob: <tiny> holds fp32, q4: say which with --variant
    = 1
    ");
    assert_snapshot!(add("--name mine --variant q4"), @r#"
    added mine q4 as <board>/models/mine
    no hashes were known beforehand: all 9 are recorded as the files came
    now put this into <board>/hob.toml, and look: hob check --config <board>/hob.toml
      [model]
      folder = "<board>/models/mine"
      variant = "q4"
    = 0
    "#);
    assert_snapshot!(board.hob("verify mine"), @"
    mine: 9 files are as recorded
    = 0
    ");
}

#[test]
fn what_cannot_be_fetched_is_said_with_what_to_do() {
    let board = Board::new();
    assert_snapshot!(board.hob("fetch gemma-3"), @"
    ! hob: no model is called gemma-3: take one of gemma-4-e2b, gemma-4-e2b-mobile, gemma-4-e4b, or bring a list of your own with --manifest FILE
    = 1
    ");
    assert_snapshot!(board.hob("fetch gemma-4-e2b --variant q8"), @"
    ! hob: gemma-4-e2b has no variant q8: take one of q4, q4f16
    = 1
    ");
    assert_snapshot!(board.hob("fetch --manifest own.toml --revision other --jobs 1"), @"
    ! 2 files
    ! hob: <hub> has no onnx/embed_tokens_q4.onnx (404 Not Found): check the address, the repository and the revision
    = 1
    ");
    assert!(board.hob("fetch gemma-4-e2b --from nowhere").ends_with("= 64"));
    assert!(board.hob("fetch gemma-4-e2b --name ../x").ends_with("= 64"));
}

#[test]
fn a_fetch_that_was_killed_goes_on() {
    let board = Board::new();
    // Falls silent after three of the graph's five bytes, once.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let slow = format!("http://{}", listener.local_addr().unwrap());
    let fetch = format!("model fetch --manifest own.toml --jobs 1 --from {slow}");
    let mut first = board.command(&fetch).stderr(Stdio::null()).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let head = "HTTP/1.1 200 X\r\nContent-Length: 5\r\nETag: \"one\"\r\nConnection: close\r\n\r\ngra";
    stream.write_all(head.as_bytes()).unwrap();
    let part = board.path("models/.partial/little/parts/onnx/embed_tokens_q4.onnx");
    let began = Instant::now();
    while fs::metadata(&part).map_or(0, |about| about.len()) < 3 {
        assert!(began.elapsed() < DEADLINE, "three bytes of the graph were not written");
        std::thread::yield_now();
    }
    assert!(board.hob("fetch --manifest own.toml").contains(&format!("another hob (process {}) works", first.id())));
    first.kill().unwrap();
    first.wait().unwrap();

    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
        let asked: Vec<String> = lines.map(|line| line.to_ascii_lowercase()).collect();
        let head = "HTTP/1.1 206 X\r\nContent-Length: 2\r\nContent-Range: bytes 3-4/5\r\nConnection: close\r\n\r\nph";
        stream.write_all(head.as_bytes()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        serve(stream).unwrap();
        asked
    });
    let second = board.command(&fetch).output().unwrap();
    assert!(second.status.success(), "{}", String::from_utf8_lossy(&second.stderr));
    let asked = asked.join().unwrap();
    assert!(
        asked.contains(&"range: bytes=3-".to_owned()) && asked.contains(&"if-range: \"one\"".to_owned()),
        "{asked:?}"
    );
    assert_eq!(fs::read(board.path("models/little/onnx/embed_tokens_q4.onnx")).unwrap(), b"graph");
}

#[test]
fn a_proxy_in_the_environment_is_asked() {
    let board = Board::new();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut fetch = board.command("model fetch --manifest own.toml --jobs 1 --from http://mirror.invalid");
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let mut fetch = fetch.env("HTTP_PROXY", address).stderr(Stdio::null()).spawn().unwrap();
    let (stream, _) = proxy.accept().unwrap();
    let asked = BufReader::new(stream).lines().next().unwrap().unwrap();
    fetch.kill().unwrap();
    fetch.wait().unwrap();
    assert_eq!(asked, "CONNECT mirror.invalid:80 HTTP/1.1");
}
