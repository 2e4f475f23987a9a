//! `hob model prepare --block 128` as a person meets it: the real binary, and a small decoder that is written here, since
//! the matrices of the committed ones are narrower than a block.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up says so at once")]

use insta::assert_snapshot;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that anything here may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Of the committed model whose tokenizer and tables are used.
const HIDDEN: usize = 32;
const VOCABULARY: usize = 376;
const GRAPH: &str = "onnx/decoder_model_merged_q4.onnx";

/// A field of a protobuf message that has a length.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag << 3 | 2][..], &varint(content.len()), content].concat()
}

fn number(tag: u8, value: usize) -> Vec<u8> {
    [&[tag << 3][..], &varint(value)].concat()
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 127).unwrap();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 128);
    }
}

fn node(operator: &str, domain: &str, inputs: &[&str], output: &str, settings: &[(&str, usize)]) -> Vec<u8> {
    let mut node: Vec<u8> = inputs.iter().flat_map(|input| field(1, input.as_bytes())).collect();
    node.extend([field(2, output.as_bytes()), field(3, output.as_bytes()), field(4, operator.as_bytes())].concat());
    for (name, value) in settings {
        // Kind 2 is a whole number; field 20 takes two bytes of key.
        let setting = [field(1, name.as_bytes()), number(3, *value), vec![0xa0, 0x01, 2]].concat();
        node.extend(field(5, &setting));
    }
    [node, field(7, domain.as_bytes())].concat()
}

/// An input or an output; a dimension of nothing is any.
fn port(name: &str, element: usize, dims: &[usize]) -> Vec<u8> {
    let dim = |dim: &usize| field(1, &if *dim == 0 { field(2, b"any") } else { number(1, *dim) });
    let shape: Vec<u8> = dims.iter().flat_map(dim).collect();
    let kind = field(1, &[number(1, element), field(2, &shape)].concat());
    [field(1, name.as_bytes()), field(2, &kind)].concat()
}

/// A graph in the making, and its data file.
#[derive(Default)]
struct Decoder {
    nodes: Vec<Vec<u8>>,
    constants: Vec<Vec<u8>>,
    data: Vec<u8>,
    /// Zeros behind the data, which take no place on the disk.
    hole: usize,
}

impl Decoder {
    fn constant(&mut self, name: &str, element: usize, dims: &[usize], content: &[u8]) {
        self.place(name, element, dims, self.data.len(), content.len());
        self.data.extend(content);
    }

    fn place(&mut self, name: &str, element: usize, dims: &[usize], offset: usize, length: usize) {
        let entry =
            |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
        let external = [
            entry("location", "decoder_model_merged_q4.onnx_data"),
            entry("offset", &offset.to_string()),
            entry("length", &length.to_string()),
        ];
        let dims: Vec<u8> = dims.iter().flat_map(|dim| number(1, *dim)).collect();
        let constant = [dims, number(2, element), field(8, name.as_bytes()), external.concat(), number(14, 1)];
        self.constants.push(constant.concat());
    }

    /// A product of 4 bits in blocks of 32, its weights like chance.
    fn product(&mut self, name: &str, input: &str, depth: usize, rows: usize, points: bool) {
        let blocks = depth / 32;
        let mut state = 7_u32;
        let mut byte = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_le_bytes()[3]
        };
        let part = |part: &str| format!("{name}.{part}");
        let numbers: Vec<u8> = (0..rows * depth / 2).map(|_| byte()).collect();
        self.constant(&part("numbers"), 2, &[rows, blocks, 16], &numbers);
        let scales = (0..rows * blocks).map(|_| 0.01 + f32::from(byte()) / 20_000.0);
        self.constant(&part("scales"), 1, &[rows, blocks], &scales.flat_map(f32::to_le_bytes).collect::<Vec<_>>());
        if points {
            self.constant(&part("points"), 2, &[rows, blocks.div_ceil(2)], &vec![0x88; rows * blocks.div_ceil(2)]);
        }
        self.operator(name, input, depth, rows, points);
    }

    /// One without weights in the file: as if all were zero.
    fn huge(&mut self, name: &str, input: &str, depth: usize, rows: usize) {
        let blocks = depth / 32;
        let (numbers, scales) = (rows * depth / 2, rows * blocks * 4);
        let start = self.data.len();
        self.place(&format!("{name}.numbers"), 2, &[rows, blocks, 16], start, numbers);
        self.place(&format!("{name}.scales"), 1, &[rows, blocks], start + numbers, scales);
        self.hole = numbers + scales;
        self.operator(name, input, depth, rows, false);
    }

    fn operator(&mut self, name: &str, input: &str, depth: usize, rows: usize, points: bool) {
        let parts = ["numbers", "scales", "points"].map(|part| format!("{name}.{part}"));
        let inputs: Vec<&str> = [input].into_iter().chain(parts.iter().map(String::as_str)).collect();
        let inputs = if points { &inputs[..] } else { &inputs[..3] };
        let settings = [("K", depth), ("N", rows), ("bits", 4), ("block_size", 32)];
        self.nodes.push(node("MatMulNBits", "com.microsoft", inputs, name, &settings));
    }

    /// Writes both files into a model's folder.
    fn write(mut self, folder: &Path) {
        // Shapes depend on it, so that the library wants it in the graph.
        let heads = [number(1, 1), number(2, 7), field(8, b"heads"), field(9, &1_i64.to_le_bytes())];
        self.constants.push(heads.concat());
        self.nodes.push(node("Unsqueeze", "", &["inputs_embeds", "heads"], "rows", &[]));
        let past = ["past_key_values.0.key", "past_key_values.0.value"];
        let present = ["present.0.key", "present.0.value"];
        for (past, present) in past.iter().zip(present) {
            self.nodes.push(node("Concat", "", &[past, "rows"], present, &[("axis", 2)]));
        }
        let cache = |name: &&str| port(name, 1, &[0, 1, 0, HIDDEN]);
        let inputs = [port("inputs_embeds", 1, &[0, 0, HIDDEN]), port("attention_mask", 7, &[0, 0])];
        let inputs = inputs.into_iter().chain(past.iter().map(cache));
        let outputs = [port("logits", 1, &[0, 0, VOCABULARY])].into_iter().chain(present.iter().map(cache));
        let repeated = |tag, messages: Vec<Vec<u8>>| -> Vec<u8> {
            messages.iter().flat_map(|message| field(tag, message)).collect()
        };
        let graph = [
            repeated(1, self.nodes),
            field(2, b"written"),
            repeated(5, self.constants),
            repeated(11, inputs.collect()),
            repeated(12, outputs.collect()),
        ];
        let opset = |domain: &str, version| field(8, &[field(1, domain.as_bytes()), number(2, version)].concat());
        let model = [number(1, 10), field(7, &graph.concat()), opset("", 20), opset("com.microsoft", 1)].concat();
        fs::write(folder.join(GRAPH), model).unwrap();
        let path = folder.join(format!("{GRAPH}_data"));
        fs::write(&path, &self.data).unwrap();
        let length = u64::try_from(self.data.len() + self.hole).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_len(length).unwrap();
    }
}

/// Hidden rows to logits through a product that is too narrow, and two that are not.
fn decoder() -> Decoder {
    let mut decoder = Decoder::default();
    decoder.product("narrow", "inputs_embeds", HIDDEN, 128, true);
    decoder.product("middle", "narrow", 128, 256, true);
    decoder.product("logits", "middle", 256, VOCABULARY, false);
    decoder
}

struct Board(tempfile::TempDir);

impl Board {
    /// With a model in `models/small`.
    fn new(decoder: Decoder) -> Self {
        let board = Self(tempfile::tempdir().unwrap());
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tiny");
        fs::create_dir_all(board.path("models/small/onnx")).unwrap();
        let names = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"];
        let embed = ["onnx/embed_tokens_q4.onnx", "onnx/embed_tokens_q4.onnx_data"];
        for name in names.iter().chain(&embed).chain(&["chat_template.jinja"]) {
            fs::copy(fixture.join(name), board.path("models/small").join(name)).unwrap();
        }
        decoder.write(&board.path("models/small"));
        let settings = "[model]\nfolder = 'models/small'\nstore = 'models'\ncache = 'cache'\n";
        fs::write(board.path("hob.toml"), settings).unwrap();
        board
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hob"));
        command.args(["model"]).args(arguments.split(' ')).env_clear().env("HOB_CONFIG", self.path("hob.toml"));
        if let Some(library) = std::env::var_os("HOB_ONNX_LIBRARY") {
            command.env("HOB_ONNX_LIBRARY", library);
        }
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// How `hob model …` ends, what it prints and what it says aside.
    fn hob(&self, arguments: &str) -> String {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes).replace(&*self.0.path().to_string_lossy(), "<board>").trim_end().to_owned()
        };
        let (printed, aside) = (text(&output.stdout), text(&output.stderr));
        let aside = aside.lines().filter(|line| !line.contains(" % of ")).map(|line| format!("! {line}"));
        let lines = aside.chain(printed.lines().map(|line| line.trim_end().to_owned()));
        let lines = lines.collect::<Vec<_>>().join("\n");
        format!("{lines}\n= {}", output.status.code().unwrap())
    }

    /// Every name in the folder of models, hidden ones too.
    fn models(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("models")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Without sizes, and without what one processor computes and another does not.
fn without_figures(told: &str) -> String {
    let masked = |word: &str| {
        let is_figure = word.starts_with(|first: char| first.is_ascii_digit());
        match (is_figure, word.ends_with(',')) {
            (true, true) => "#,".to_owned(),
            (true, false) => "#".to_owned(),
            (false, _) => word.to_owned(),
        }
    };
    let line = |line: &str| match line.contains("beside the original") || line.starts_with("made ") {
        true => line.split(' ').map(masked).collect::<Vec<_>>().join(" "),
        false => line.to_owned(),
    };
    told.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_model_of_its_own_is_made_and_says_what_it_lost() {
    let board = Board::new(decoder());
    let before = fs::read(board.path("models/small").join(GRAPH)).unwrap();
    let made = board.hob("prepare models/small --block 128 --out models/wide");
    assert_snapshot!(without_figures(&made), @r#"
    ! 2 products, 83.8 kB of weights
    made <board>/models/wide from small, # kB
      blocks of 128 from small: 2 products
      left as they were: 1 with 32 weights to a row, which 128 does not divide
      weights off by 6.04 % in the mean, 6.14 % at most (middle.numbers)
      # of # tokens are the same beside the original; logits differ by # (root of the mean square), # at most, and spread by #
    now put this into <board>/hob.toml, and look: hob check --config <board>/hob.toml
      [model]
      folder = "<board>/models/wide"
      variant = "q4"
    = 0
    "#);
    assert_eq!(board.models(), ["small", "wide"]);
    assert_eq!(fs::read(board.path("models/small").join(GRAPH)).unwrap(), before);
    let inode = |model: &str| fs::metadata(board.path(model).join("onnx/embed_tokens_q4.onnx_data")).unwrap().ino();
    assert_eq!(inode("models/small"), inode("models/wide"));
    assert_snapshot!(board.hob("verify wide"), @"
    wide: 10 files are as recorded
    = 0
    ");
    // It is a model like any other: looked at, prepared, taken into another store.
    let settings = fs::read_to_string(board.path("hob.toml")).unwrap().replace("small", "wide");
    fs::write(board.path("hob.toml"), settings).unwrap();
    let told: Vec<String> =
        board.hob("info").lines().filter(|line| line.contains("blocks of 128")).map(str::to_owned).collect();
    assert_eq!(told, ["  blocks of 128 from small: 2 products"]);
    assert!(board.hob("prepare").ends_with("= 0"));
    assert!(board.hob("add models/wide --name again").ends_with("= 0"));
    assert_eq!(
        fs::read(board.path("models/again/requantized.json")).unwrap(),
        fs::read(board.path("models/wide/requantized.json")).unwrap()
    );
}

#[test]
fn what_is_there_is_not_written_over_and_what_has_nothing_to_do_is_told() {
    let board = Board::new(decoder());
    fs::create_dir(board.path("models/wide")).unwrap();
    assert_snapshot!(board.hob("prepare models/small --block 128 --out models/wide"), @"
    ! hob: models/wide is there already: name another folder, or remove it first
    = 1
    ");
    fs::remove_dir(board.path("models/wide")).unwrap();
    let mut narrow = Decoder::default();
    narrow.product("logits", "inputs_embeds", HIDDEN, VOCABULARY, false);
    narrow.write(&board.path("models/small"));
    assert_snapshot!(board.hob("prepare models/small --block 128 --out models/wide"), @"
    ! hob: nothing in models/small/onnx/decoder_model_merged_q4.onnx can be requantized to blocks of 128: 1 with 32 weights to a row, which 128 does not divide
    = 1
    ");
    decoder().write(&board.path("models/small"));
    assert_snapshot!(board.hob("prepare models/small --block 128 --out nowhere/wide"), @"
    ! hob: cannot find the folder <board>/nowhere: entity not found
    = 1
    ");
    assert!(board.hob("prepare models/small --block 64 --out models/wide").ends_with("= 64"));
    assert!(board.hob("prepare models/small --block 128").ends_with("= 64"));
    assert!(board.hob("prepare models/small --out models/wide").ends_with("= 64"));
    assert_eq!(board.models(), ["small"]);
}

#[test]
fn damaged_weights_are_named_and_nothing_is_left() {
    let board = Board::new(decoder());
    let data = board.path("models/small").join(format!("{GRAPH}_data"));
    let bytes = fs::read(&data).unwrap();
    fs::write(&data, &bytes[..bytes.len() / 2]).unwrap();
    assert_snapshot!(board.hob("prepare models/small --block 128 --out models/wide"), @"
    ! hob: models/small/onnx/decoder_model_merged_q4.onnx_data has 41920 bytes, and 'logits.numbers' ends at 71808: fetch it again
    = 1
    ");
    let mut spoilt = bytes;
    let scale = 128 * HIDDEN / 2 + 128 * 4 + 128 + 256 * 64;
    spoilt[scale..scale + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&data, spoilt).unwrap();
    assert_snapshot!(board.hob("prepare models/small --block 128 --out models/wide"), @"
    ! 2 products, 83.8 kB of weights
    ! hob: the weights 'middle.scales' in models/small/onnx/decoder_model_merged_q4.onnx are damaged (a scale is no number): fetch it again
    = 1
    ");
    assert_eq!(board.models(), ["small"]);
}

#[test]
fn ended_by_a_signal_it_leaves_nothing() {
    let mut decoder = decoder();
    decoder.huge("huge", "narrow", 128, 2 << 20);
    let board = Board::new(decoder);
    let mut running =
        board.command("prepare models/small --block 128 --out models/wide").stderr(Stdio::null()).spawn().unwrap();
    let begun = board.path("models/.wide.new").join(format!("{GRAPH}_data"));
    let start = Instant::now();
    while !begun.exists() {
        assert!(start.elapsed() < DEADLINE && running.try_wait().unwrap().is_none(), "no weights are written");
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&running), Signal::INT).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(1));
    assert_eq!(board.models(), ["small"]);
}
