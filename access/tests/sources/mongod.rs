//! A server that speaks as much of MongoDB's wire protocol as readers need: the greeting in its old and its new form, logins by
//! SCRAM-SHA-256, `find` and `getMore`. Debian has no real one. It obeys operators in filters, so that a filter that a client
//! could bend would find what it should not. It runs on a thread and a runtime of its own, which end with its value.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};
use ring::{digest, hmac, pbkdf2};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;
/// How many documents a first batch has.
const BATCH: usize = 101;
const SALT: &[u8] = b"sixteen bytes...";
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// What a server has, and whom it lets in.
#[derive(Default)]
pub struct Contents {
    /// Documents by collection.
    pub collections: HashMap<&'static str, Vec<Document>>,
    /// The user name and password that it wants to see, if any.
    pub login: Option<(&'static str, &'static str)>,
    /// The name of the replica set it is the only member of, if any.
    pub replica_set: Option<&'static str>,
    /// The filters it was asked with.
    pub filters: Mutex<Vec<Document>>,
    /// Held by those who want it to stand still.
    pub stillness: Mutex<()>,
}

/// A server that runs.
pub struct Mongod {
    /// Where it listens.
    pub port: u16,
    pub contents: Arc<Contents>,
    tls: Option<TlsAcceptor>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Mongod {
    /// Starts one on a free port.
    pub fn start(contents: Contents, tls: Option<TlsAcceptor>) -> Mongod {
        let mut server = Mongod { port: 0, contents: Arc::new(contents), tls, running: None };
        server.listen();
        server
    }

    /// Listens again on the port it had.
    pub fn listen(&mut self) {
        let listener = std::net::TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        self.port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (contents, tls) = (Arc::clone(&self.contents), self.tls.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(TcpListener::from_std(listener).unwrap(), contents, tls) => {}
                    _ = stopped => {}
                }
            });
        });
        self.running = Some((stop, thread));
    }

    /// Closes its listener and every connection.
    pub fn kill(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            let _ = stop.send(());
            thread.join().unwrap();
        }
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn accept(listener: TcpListener, contents: Arc<Contents>, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let mut conversation = Conversation {
            address: stream.local_addr().unwrap().to_string(),
            contents: Arc::clone(&contents),
            exchange: None,
            is_in: false,
            rest: Vec::new(),
        };
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                // A client that does not like the certificate goes.
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => conversation.hold(stream).await,
                    Err(_) => None,
                },
                None => conversation.hold(stream).await,
            }
        });
    }
}

/// One connection.
struct Conversation {
    /// The server's.
    address: String,
    contents: Arc<Contents>,
    exchange: Option<Exchange>,
    is_in: bool,
    /// Documents of the one cursor that are still to be fetched.
    rest: Vec<Document>,
}

impl Conversation {
    /// Answers until the other side goes.
    async fn hold(&mut self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        loop {
            let length = usize::try_from(stream.read_i32_le().await.ok()?).ok()?;
            let request = stream.read_i32_le().await.ok()?;
            let _response_to = stream.read_i32_le().await.ok()?;
            let opcode = stream.read_i32_le().await.ok()?;
            let mut body = vec![0; length.checked_sub(16)?];
            stream.read_exact(&mut body).await.ok()?;
            let contents = Arc::clone(&self.contents);
            // The one thread stands still here, and all connections with it.
            drop(contents.stillness.lock().unwrap_or_else(PoisonError::into_inner));
            let (opcode, mut answer) = match opcode {
                OP_QUERY => {
                    let name_end = body[4..].iter().position(|byte| *byte == 0)?;
                    let document = Document::from_reader(&body[4 + name_end + 1 + 8..]).ok()?;
                    // Flags, cursor, where it starts, how many documents.
                    let head = [&[0; 4][..], &[0; 8], &[0; 4], &1_i32.to_le_bytes()].concat();
                    (OP_REPLY, [head, self.answer(&document).to_vec().ok()?].concat())
                }
                OP_MSG => {
                    assert_eq!(body[..5], [0; 5], "no flags, and one section with the whole command");
                    let document = Document::from_reader(&body[5..]).ok()?;
                    (OP_MSG, [vec![0; 5], self.answer(&document).to_vec().ok()?].concat())
                }
                _ => return None,
            };
            let length = i32::try_from(answer.len() + 16).ok()?;
            let mut message: Vec<u8> =
                [length, 1, request, opcode].into_iter().flat_map(i32::to_le_bytes).collect();
            message.append(&mut answer);
            stream.write_all(&message).await.ok()?;
            stream.flush().await.ok()?;
        }
    }

    fn answer(&mut self, command: &Document) -> Document {
        let name = command.keys().next().map(String::as_str).unwrap_or_default();
        match name {
            "hello" | "isMaster" | "ismaster" => self.greeting(command),
            "saslStart" => self.login(command).unwrap_or_else(wrong_login),
            "saslContinue" => self.finish_login(command).unwrap_or_else(wrong_login),
            _ if self.contents.login.is_some() && !self.is_in => error(13, "Unauthorized"),
            "find" => self.find(command),
            "getMore" => {
                let documents: Vec<Document> = std::mem::take(&mut self.rest);
                doc! { "cursor": { "id": 0_i64, "ns": "mqtt.any", "nextBatch": documents }, "ok": 1.0 }
            }
            "ping" | "endSessions" | "killCursors" => doc! { "ok": 1.0 },
            _ => error(59, "CommandNotFound"),
        }
    }

    fn greeting(&mut self, command: &Document) -> Document {
        let mut answer = doc! {
            "helloOk": true, "isWritablePrimary": true, "ismaster": true, "minWireVersion": 0, "maxWireVersion": 21,
            "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
            "logicalSessionTimeoutMinutes": 30, "readOnly": false, "ok": 1.0,
        };
        if let Some(name) = self.contents.replica_set {
            let address = self.address.as_str();
            answer.extend(
                doc! { "setName": name, "setVersion": 1, "hosts": [address], "me": address, "primary": address },
            );
        }
        if command.contains_key("saslSupportedMechs") {
            answer.insert("saslSupportedMechs", vec!["SCRAM-SHA-256"]);
        }
        if let Ok(first) = command.get_document("speculativeAuthenticate")
            && let Some(reply) = self.login(first)
        {
            answer.insert("speculativeAuthenticate", reply);
        }
        answer
    }

    fn find(&mut self, command: &Document) -> Document {
        let (Ok(collection), Ok(filter)) = (command.get_str("find"), command.get_document("filter")) else {
            return error(9, "FailedToParse");
        };
        assert!(command.get_i64("maxTimeMS").or(command.get_i32("maxTimeMS").map(i64::from)).is_ok());
        self.contents.filters.lock().unwrap().push(filter.clone());
        let limit = command.get_i64("limit").unwrap_or(i64::MAX);
        let all = self.contents.collections.get(collection).into_iter().flatten();
        let mut found: Vec<Document> = all.filter(|document| is_meant(document, filter)).cloned().collect();
        found.truncate(usize::try_from(limit).unwrap());
        self.rest = found.split_off(found.len().min(BATCH));
        let id = i64::from(!self.rest.is_empty());
        doc! { "cursor": { "id": id, "ns": format!("mqtt.{collection}"), "firstBatch": found }, "ok": 1.0 }
    }

    /// SCRAM's first message and its answer.
    fn login(&mut self, command: &Document) -> Option<Document> {
        let (user, password) = self.contents.login?;
        if !command.get_str("mechanism").is_ok_and(|name| name == "SCRAM-SHA-256") {
            return None;
        }
        let client_first = payload(command)?.strip_prefix("n,,")?.to_owned();
        let nonce = client_first.strip_prefix(&format!("n={user},r="))?;
        let server_first = format!("r={nonce}server,s={},i={ITERATIONS}", base64(SALT));
        let answer = sasl_answer(&server_first, false);
        self.exchange = Some(Exchange { client_first, server_first, password });
        Some(answer)
    }

    /// SCRAM's second message and its answer.
    fn finish_login(&mut self, command: &Document) -> Option<Document> {
        let proven = self.exchange.take()?.prove(payload(command)?)?;
        self.is_in = true;
        Some(sasl_answer(&proven, true))
    }
}

/// A login under way.
struct Exchange {
    client_first: String,
    server_first: String,
    password: &'static str,
}

impl Exchange {
    /// The server's proof, where the client's is right.
    fn prove(self, client_final: &str) -> Option<String> {
        let (without_proof, proof) = client_final.rsplit_once(",p=")?;
        let said = format!("{},{},{without_proof}", self.client_first, self.server_first);
        let mut salted = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, SALT, self.password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &str| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
        };
        let client_key = sign(&salted, "Client Key");
        let signature = sign(digest::digest(&digest::SHA256, &client_key).as_ref(), &said);
        let expected: Vec<u8> = client_key.iter().zip(signature).map(|(one, other)| one ^ other).collect();
        let server_key = sign(&salted, "Server Key");
        (proof == base64(&expected)).then(|| format!("v={}", base64(&sign(&server_key, &said))))
    }
}

/// Whether a document has what a filter says; an operator is obeyed as `$ne`.
fn is_meant(document: &Document, filter: &Document) -> bool {
    filter.iter().all(|(field, wanted)| match wanted {
        Bson::Document(_) => true,
        _ if field.starts_with('$') => true,
        _ => document.get(field) == Some(wanted),
    })
}

fn payload(command: &Document) -> Option<&str> {
    std::str::from_utf8(command.get_binary_generic("payload").ok()?).ok()
}

fn sasl_answer(text: &str, is_done: bool) -> Document {
    let payload = Binary { subtype: BinarySubtype::Generic, bytes: text.as_bytes().to_vec() };
    doc! { "conversationId": 1, "done": is_done, "payload": payload, "ok": 1.0 }
}

fn wrong_login() -> Document {
    error(18, "AuthenticationFailed")
}

fn error(code: i32, name: &str) -> Document {
    doc! { "ok": 0.0, "errmsg": name, "code": code, "codeName": name }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
