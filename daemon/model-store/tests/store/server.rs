//! A server on a free port. It serves files as it should, except where a test has it lie; it remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What was asked, with header names in lower case.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    /// How often this path was asked for before.
    pub(crate) before: usize,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What the server does instead of serving a file as it should.
#[derive(Debug, Clone)]
pub(crate) enum Lie {
    /// Breaks off after so many bytes of the body.
    Drop { after: usize },
    /// Falls silent after so many bytes of the body and keeps the connection.
    Stall { after: usize },
    /// Serves these bytes, as if they were the file.
    Other(Vec<u8>),
    /// Claims another length, serves the file, and closes.
    Length(u64),
    /// Sends the file in chunks without saying how long it is.
    Unmeasured(Vec<u8>),
    /// Sends the file until the connection ends, without saying how long it is.
    Endless(Vec<u8>),
    /// Sends the whole file whatever part was asked for.
    IgnoreRange,
    /// Sends the part that was asked for, of a file with another mark, whatever `If-Range` said.
    OtherState { bytes: Vec<u8>, etag: &'static str },
    /// Answers with a status and header lines, and no file.
    Answer { status: u16, lines: Vec<String> },
}

pub(crate) fn answer(status: u16) -> Lie {
    Lie::Answer { status, lines: Vec::new() }
}

pub(crate) fn redirect(to: impl Into<String>) -> Lie {
    Lie::Answer { status: 302, lines: vec![format!("Location: {}", to.into())] }
}

type Liar = dyn Fn(&Asked) -> Option<Lie> + Send + Sync;

struct Shared {
    /// Path after `/resolve/<revision>/`, to bytes.
    files: BTreeMap<String, Vec<u8>>,
    liar: Box<Liar>,
    log: Mutex<Vec<Asked>>,
    /// Connections that have fallen silent.
    silent: Mutex<Vec<TcpStream>>,
}

pub(crate) struct Server {
    port: u16,
    shared: Arc<Shared>,
}

impl Server {
    /// Serves the files, lying where `liar` says so.
    pub(crate) fn start(files: &[(&str, &[u8])], liar: impl Fn(&Asked) -> Option<Lie> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect();
        let shared = Arc::new(Shared {
            files,
            liar: Box::new(liar),
            log: Mutex::new(Vec::new()),
            silent: Mutex::new(Vec::new()),
        });
        let server = Self { port, shared: Arc::clone(&shared) };
        // Ends with the process: a test's process is its own.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&shared, stream.unwrap()));
            }
        });
        server
    }

    pub(crate) fn honest(files: &[(&str, &[u8])]) -> Self {
        Self::start(files, |_| None)
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What was asked for, in order.
    pub(crate) fn log(&self) -> Vec<Asked> {
        self.shared.log.lock().unwrap().clone()
    }

    /// The `Range` of each question for a file whose path ends so; `-` for none.
    pub(crate) fn ranges(&self, path: &str) -> Vec<String> {
        let of_file = self.log().into_iter().filter(|asked| asked.path.ends_with(path));
        of_file.map(|asked| asked.header("range").unwrap_or("-").to_owned()).collect()
    }
}

fn read(stream: &TcpStream) -> Option<(String, BTreeMap<String, String>)> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    Some((path, headers.collect()))
}

fn serve(shared: &Shared, mut stream: TcpStream) {
    let Some((path, headers)) = read(&stream) else { return };
    let asked = {
        let mut log = shared.log.lock().unwrap();
        let before = log.iter().filter(|asked| asked.path == path).count();
        let asked = Asked { path, headers, before };
        log.push(asked.clone());
        asked
    };
    let lie = (shared.liar)(&asked);
    let name = asked.path.split_once("/resolve/").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
    let file = name.and_then(|name| shared.files.get(name));
    let sent = match (lie, file) {
        (Some(Lie::Answer { status, lines }), _) => send(&mut stream, status, &lines, b""),
        (Some(Lie::Other(bytes)), _) => send_part(&mut stream, &asked, &bytes, "\"other\"", usize::MAX),
        (_, None) => send(&mut stream, 404, &[], b""),
        (None, Some(bytes)) => send_part(&mut stream, &asked, bytes, "\"one\"", usize::MAX),
        (Some(Lie::Drop { after }), Some(bytes)) => send_part(&mut stream, &asked, bytes, "\"one\"", after),
        (Some(Lie::Stall { after }), Some(bytes)) => {
            let sent = send_part(&mut stream, &asked, bytes, "\"one\"", after);
            shared.silent.lock().unwrap().push(stream);
            sent
        }
        (Some(Lie::Length(length)), Some(bytes)) => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")
                .and_then(|()| stream.write_all(bytes))
        }
        (Some(Lie::Unmeasured(bytes)), Some(_)) => write!(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            bytes.len()
        )
        .and_then(|()| stream.write_all(&bytes))
        .and_then(|()| stream.write_all(b"\r\n0\r\n\r\n")),
        (Some(Lie::Endless(bytes)), Some(_)) => {
            write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").and_then(|()| stream.write_all(&bytes))
        }
        (Some(Lie::IgnoreRange), Some(bytes)) => send(&mut stream, 200, &["ETag: \"one\"".to_owned()], bytes),
        (Some(Lie::OtherState { bytes, etag }), Some(_)) => {
            let mut unconditional = asked.clone();
            unconditional.headers.remove("if-range");
            send_part(&mut stream, &unconditional, &bytes, etag, usize::MAX)
        }
    };
    // A client that has enough closes: that is no concern of the server's.
    sent.ok();
}

fn send(stream: &mut TcpStream, status: u16, lines: &[String], body: &[u8]) -> std::io::Result<()> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{lines}\r\n", body.len())?;
    stream.write_all(body)
}

/// A file, or the part that was asked for, as RFC 9110 has it; breaks off `after` so many bytes.
fn send_part(stream: &mut TcpStream, asked: &Asked, file: &[u8], etag: &str, after: usize) -> std::io::Result<()> {
    let wanted = asked.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let same = asked.header("if-range").is_none_or(|mark| mark == etag);
    let first: usize = wanted.filter(|_| same).unwrap_or(0);
    if first > 0 && first >= file.len() {
        return send(stream, 416, &[format!("Content-Range: bytes */{}", file.len())], b"");
    }
    let body = &file[first..];
    let (status, range) = match first {
        0 => (200, String::new()),
        _ => (206, format!("Content-Range: bytes {first}-{}/{}\r\n", file.len() - 1, file.len())),
    };
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\nETag: {etag}\r\n{range}\r\n",
        body.len()
    )?;
    stream.write_all(&body[..after.min(body.len())])
}
