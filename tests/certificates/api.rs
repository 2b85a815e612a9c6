//! A small web service in place of a provider's. Whatever its documents do not allow is remembered, and fails the test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use hickory_proto::op::{Message, ResponseCode, update_message};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{Name, RData, RecordSet, RecordType, TSigner};
use nix::sys::socket::{Shutdown, shutdown};

/// A request as it arrived.
#[derive(Clone)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub at: Instant,
}

impl Request {
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Keys and values of the query, decoded.
    pub fn query(&self) -> Vec<(String, String)> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        let parts = query.split('&').filter(|part| !part.is_empty());
        let pair = |part: &str| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(key), decoded(value))
        };
        parts.map(pair).collect()
    }

    /// The value of a key in the query.
    pub fn asked(&self, key: &str) -> Option<String> {
        let query = self.query().into_iter();
        query
            .filter(|(own, _)| own == key)
            .map(|(_, value)| value)
            .next()
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [
                    rest.next().expect("two digits"),
                    rest.next().expect("two digits"),
                ];
                let digits = std::str::from_utf8(&digits).expect("digits");
                u8::from_str_radix(digits, 16).expect("digits")
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).expect("text")
}

/// A status, and what it says.
pub type Answer = (u16, String);

/// A running service.
pub struct Api {
    pub address: SocketAddr,
    listener: Arc<TcpListener>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    wrong: Vec<String>,
}

impl Api {
    /// Answers with what `judge` says; its error is something that the service's documents do not allow.
    pub fn serve(
        mut judge: impl FnMut(&Request) -> Result<Answer, String> + Send + 'static,
    ) -> Self {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a port"));
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (accepting, remembered) = (Arc::clone(&listener), Arc::clone(&seen));
        std::thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                let Some(request) = read(&stream) else {
                    continue;
                };
                let (status, body) = judge(&request).unwrap_or_else(|wrong| {
                    let mut seen = remembered.lock().expect("nobody panics with it");
                    seen.wrong
                        .push(format!("{} {}: {wrong}", request.method, request.target));
                    (400, wrong)
                });
                remembered
                    .lock()
                    .expect("nobody panics with it")
                    .requests
                    .push(request);
                let head = format!(
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                // Whoever asked may have gone.
                let _ = (&stream).write_all(format!("{head}{body}").as_bytes());
            }
        });
        Self {
            address,
            listener,
            seen,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.seen
            .lock()
            .expect("nobody panics with it")
            .requests
            .clone()
    }

    /// Panics if a request was not as the documents have it.
    pub fn was_content(&self) {
        let wrong = &self.seen.lock().expect("nobody panics with it").wrong;
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // Ends the thread; it is gone already if that fails.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut fields = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = fields.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        target,
        fields,
        body,
        at: Instant::now(),
    })
}

/// The TXT records of the zone `example`, as a provider keeps them; its name server has the same.
pub struct Zone {
    server: SocketAddr,
    /// By name without the final dot.
    pub records: BTreeMap<String, Vec<String>>,
}

impl Zone {
    pub fn new(server: SocketAddr) -> Self {
        Self {
            server,
            records: BTreeMap::new(),
        }
    }

    /// Makes these the values at a name; none removes it.
    pub fn set(&mut self, name: &str, values: &[String]) {
        let name = name.trim_end_matches('.');
        let origin = Name::from_ascii("example.").expect("a name");
        if let Some(old) = self.records.remove(name) {
            self.send(update_message::delete_by_rdata(
                set(name, &old),
                origin.clone(),
                false,
            ));
        }
        if !values.is_empty() {
            self.send(update_message::append(
                set(name, values),
                origin,
                false,
                false,
            ));
            self.records.insert(name.to_owned(), values.to_vec());
        }
    }

    fn send(&self, mut message: Message) {
        let secret = BASE64.decode(super::SECRET.as_bytes()).expect("Base64");
        let key = Name::from_ascii("weir.").expect("a name");
        let signer = TSigner::new(secret, TsigAlgorithm::HmacSha256, key, 300).expect("a signer");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        message
            .finalize(&signer, now.expect("a clock").as_secs())
            .expect("signed");
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket
            .set_read_timeout(Some(crate::support::DEADLINE))
            .expect("a timeout");
        let bytes = message.to_vec().expect("a message");
        socket.send_to(&bytes, self.server).expect("sent");
        let mut answer = [0; 4096];
        let length = socket.recv(&mut answer).expect("an answer");
        let answer = Message::from_vec(&answer[..length]).expect("an answer");
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    }
}

fn set(name: &str, values: &[String]) -> RecordSet {
    let name = Name::from_ascii(format!("{name}.")).expect("a name");
    let mut set = RecordSet::with_ttl(name, RecordType::TXT, 1);
    for value in values {
        set.add_rdata(RData::TXT(TXT::new(vec![value.clone()])));
    }
    set
}
