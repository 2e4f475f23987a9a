//! `hob provider` and `hob doctor` as a person meets them: the real binary, and what it says.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up says so at once")]

use insta::assert_snapshot;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A board with the tiny model, and settings of its own.
struct Board {
    folder: tempfile::TempDir,
    broker: TcpListener,
}

impl Board {
    /// `providers` stands in `[model]`.
    fn new(providers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let broker = TcpListener::bind("127.0.0.1:0").unwrap();
        let tiny = Path::new(ROOT).join("tests/fixtures/tiny").canonicalize().unwrap();
        let settings = format!(
            "[model]\nfolder = '{}'\ncache = 'cache'\n{providers}\n[mqtt]\nport = {}\n[state]\nfolder = 'state'\n\
             [plugins]\nfolder = 'plugins'\ngrants = 'grants'\ncache = 'compiled'\n\
             [devices]\nfile = 'devices.toml'\n",
            tiny.display(),
            broker.local_addr().unwrap().port()
        );
        fs::write(folder.path().join("hob.toml"), settings).unwrap();
        fs::write(folder.path().join("devices.toml"), "").unwrap();
        Self { folder, broker }
    }

    fn run(&self, arguments: &[&str], library: Option<&Path>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hob"));
        command.arg("--config").arg(self.folder.path().join("hob.toml")).args(arguments);
        // What this machine has beside ONNX Runtime must not show.
        for provider in ["OPENVINO", "WEBGPU", "QNN", "CUDA", "TENSORRT"] {
            command.env_remove(format!("HOB_{provider}_LIBRARY"));
        }
        if let Some(library) = library {
            command.env("HOB_ONNX__LIBRARY", library);
        }
        command.output().unwrap()
    }

    /// What it said, with this machine's paths, ports and figures taken out, and how it ended.
    fn said(&self, arguments: &[&str]) -> (String, i32) {
        let output = self.run(arguments, None);
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (self.redacted(&text), output.status.code().unwrap())
    }

    fn redacted(&self, text: &str) -> String {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let tiny = Path::new(ROOT).join("tests/fixtures/tiny").canonicalize().unwrap();
        let port = self.broker.local_addr().unwrap().port().to_string();
        let text =
            text.replace(&folder, "<board>").replace(&*tiny.to_string_lossy(), "<tiny>").replace(&port, "<port>");
        text.lines().map(without_figures).collect::<Vec<_>>().join("\n")
    }
}

/// Paths end in one name, numbers with a dot become `N`.
fn without_figures(line: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', ';']);
        let end = word.strip_prefix(bare).unwrap_or_default();
        match bare {
            path if path.starts_with('/') => format!("<path>{end}"),
            number if number.contains('.') && number.starts_with(|first: char| first.is_ascii_digit()) => {
                format!("N{end}")
            }
            number if !number.is_empty() && number.chars().all(|letter| letter.is_ascii_digit()) => format!("N{end}"),
            other => format!("{other}{end}"),
        }
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// ONNX Runtime with OpenVINO in it, which runs on every x86-64 processor; where `make provider-openvino` put it.
fn with_openvino() -> Option<PathBuf> {
    let named = std::env::var_os("HOB_OPENVINO_ONNX_LIBRARY").map(PathBuf::from);
    let fetched = Path::new(ROOT).join(".cache/openvino-onnxruntime/libonnxruntime.so.1.24.1");
    named.or_else(|| fetched.is_file().then_some(fetched))
}

#[test]
fn every_provider_is_listed_and_those_in_the_settings_are_marked() {
    let (said, code) = Board::new("providers = ['cuda', 'cpu']").said(&["provider", "list"]);
    assert_eq!(code, 0);
    let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("  openvino")).collect();
    assert_snapshot!(said.join("\n"), @r#"
* cpu       in ONNX Runtime, on cpu
  webgpu    not here: take the plugin out of the Python package onnxruntime-ep-webgpu, and name it with `[onnx.plugins] webgpu`
  qnn       not here: on aarch64 take the plugin out of the Python package onnxruntime-qnn, with the libraries beside it, and name it with `[onnx.plugins] qnn`
* cuda      not here: name an ONNX Runtime that was built for CUDA with `[onnx] library` (the Python package onnxruntime-gpu has one; for a Jetson, build it or take NVIDIA's), or a plugin with `[onnx.plugins] cuda`
  tensorrt  not here: name an ONNX Runtime that was built for TensorRT with `[onnx] library`, or take the plugin out of the Python package onnxruntime-ep-nv-tensorrt-rtx-cu13, and name it with `[onnx.plugins] tensorrt`
"#);
}

#[test]
fn the_processor_is_tried_with_a_graph_and_with_the_model() {
    let (said, code) = Board::new("").said(&["provider", "test", "cpu", "--model"]);
    assert_eq!(code, 0, "{said}");
    assert_snapshot!(said, @r#"
provider    cpu
library     ONNX Runtime N, <path>
ran         cpu N (FusedGemm, Gemm, MatMulNBits, Softmax)
difference  N of N, against the processor
time        N ms a run, N ms on the processor; N ms to open
model       tiny q4
divided     all on the processor
logits      N of N apart; the same token in N of N steps
opening     N ms, N ms on the processor
prompt      N tokens: N ms, N ms on the processor
decoding    a token: N ms, N ms on the processor
"#);
}

#[test]
fn a_provider_that_is_away_or_unknown_is_an_error() {
    let board = Board::new("");
    let (said, code) = board.said(&["provider", "test", "qnn"]);
    assert_eq!(code, 1);
    assert_snapshot!(said, @r#"hob: the provider 'qnn' cannot be used: this ONNX Runtime does not have it, and no plugin was found: on aarch64 take the plugin out of the Python package onnxruntime-qnn, with the libraries beside it, and name it with `[onnx.plugins] qnn`"#);
    let (said, code) = board.said(&["provider", "test", "opnvino"]);
    assert_eq!(code, 64);
    assert_snapshot!(said.lines().next().unwrap(), @r#"error: invalid value 'opnvino' for '<PROVIDER>': there is no provider 'opnvino', only 'cpu', 'openvino', 'webgpu', 'qnn', 'cuda', 'tensorrt'; did you mean 'openvino'?"#);
}

#[test]
fn hob_does_not_start_on_less_than_was_asked_for_unless_it_may() {
    let (said, code) = Board::new("providers = ['webgpu', 'cpu']").said(&["check"]);
    assert_eq!(code, 78, "{said}");
    assert!(said.starts_with("hob: the provider 'webgpu' cannot be used"), "{said}");
    let (said, code) = Board::new("providers = ['webgpu', 'cpu']\nfallback = true").said(&["check"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn the_doctor_says_what_is_well_and_what_to_do_about_the_rest() {
    let (said, code) = Board::new("").said(&["doctor"]);
    assert_eq!(code, 0, "{said}");
    // Which instructions, sensors and disks there are is the machine's own affair.
    let of_machine = |line: &str| ["processor ", "heat ", "->"].iter().any(|what| line.contains(what));
    let said: Vec<&str> = said.lines().filter(|line| !of_machine(line)).collect();
    assert_snapshot!(said.join("\n"), @r#"
ok    memory      N GiB free for hob
ok    clock       plausible: N seconds after 1970-01-01
ok    state       N GiB free for <board>/state, which is not made yet
ok    cache       N GiB free for <board>/cache, which is not made yet
ok    cache       N GiB free for <board>/compiled, which is not made yet
ok    onnxruntime N, <path>; it runs
ok    model       <tiny>, q4; it takes about N MiB
ok    broker      N opens a connection
warn  plugins     none in <board>/plugins
"#);
}

#[test]
fn the_doctor_fails_for_a_provider_that_is_away_and_warns_where_that_is_allowed() {
    let finding = |providers: &str| {
        let board = Board::new(providers);
        let output = board.run(&["--json", "doctor"], None);
        let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let own = findings.as_array().unwrap().iter().find(|finding| finding["what"] == "qnn").unwrap().clone();
        (own, output.status.code().unwrap())
    };
    let (away, code) = finding("providers = ['qnn', 'cpu']");
    assert_eq!((away["level"].as_str(), code), (Some("fail"), 1));
    assert!(away["found"].as_str().unwrap().contains("onnxruntime-qnn"), "{away}");
    let (away, code) = finding("providers = ['qnn', 'cpu']\nfallback = true");
    assert_eq!((away["level"].as_str(), code), (Some("warn"), 0));
}

#[test]
fn the_doctor_names_a_library_that_is_none() {
    let board = Board::new("");
    let output = board.run(&["doctor"], Some(&board.folder.path().join("hob.toml")));
    assert_eq!(output.status.code(), Some(1));
    let said = board.redacted(&String::from_utf8(output.stdout).unwrap());
    let line = said.lines().find(|line| line.contains("onnxruntime")).unwrap();
    assert!(line.starts_with("fail") && line.contains("is no ONNX Runtime library"), "{line}");
}

#[test]
fn openvino_runs_a_graph_and_the_model_where_it_is() {
    let board = Board::new("providers = ['openvino', 'cpu']");
    let Some(library) = with_openvino() else {
        let (said, code) = board.said(&["provider", "test", "openvino:npu"]);
        assert_eq!(code, 1, "{said}");
        return;
    };
    let output = board.run(&["provider", "test", "openvino", "--model"], Some(&library));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let line = |name: &str| said.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("ran ").contains("openvino 1 (OpenVINO-EP-subgraph_1)"), "{said}");
    assert!(line("divided").contains("MatMul"), "{said}");

    let doctor = board.run(&["doctor"], Some(&library));
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert!(said.lines().any(|line| line.starts_with("ok    openvino") && line.contains("ran: openvino 1")), "{said}");
}

#[test]
fn what_openvino_leaves_is_the_processors_only_where_that_is_named() {
    let Some(library) = with_openvino() else { return };
    // Attention in the published form is none that OpenVINO takes.
    let published = Path::new(ROOT).join("tests/fixtures/published").canonicalize().unwrap();
    let check = |providers: &str| {
        let board = Board::new(providers);
        let settings = board.folder.path().join("hob.toml");
        let text = fs::read_to_string(&settings).unwrap().replace("tests/fixtures/tiny", "tests/fixtures/published");
        assert!(text.contains(&*published.to_string_lossy()));
        fs::write(&settings, text).unwrap();
        let output = board.run(&["check"], Some(&library));
        (String::from_utf8(output.stderr).unwrap(), output.status.code().unwrap())
    };
    let (said, code) = check("providers = ['openvino']");
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("left for the processor") && said.contains("GroupQueryAttention"), "{said}");
    let (said, code) = check("providers = ['openvino', 'cpu']");
    assert_eq!(code, 0, "{said}");
    let (said, code) = check("providers = ['openvino']\nfallback = true");
    assert_eq!(code, 0, "{said}");
}
