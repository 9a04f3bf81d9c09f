//! Pools: how many connections, what a lost one leads to, how long nobody is bothered. And what a server is called.

use super::*;
use crate::sources::error::SourceError;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A server that is reachable while `is_there`; its connections are numbers.
#[derive(Default)]
struct Fake {
    is_there: Arc<AtomicBool>,
    connects: Arc<AtomicUsize>,
}

impl Connector for Fake {
    type Link = usize;

    async fn connect(&self) -> Result<usize, SourceError> {
        let number = self.connects.fetch_add(1, Ordering::Relaxed);
        match self.is_there.load(Ordering::Relaxed) {
            true => Ok(number),
            false => {
                let source = io::ErrorKind::ConnectionRefused.into();
                Err(SourceError::Connect { address: "fake:1".into(), source })
            }
        }
    }
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(future)
}

fn pool(size: usize, timeout_ms: u64) -> Pool<Fake> {
    let fake = Fake::default();
    fake.is_there.store(true, Ordering::Relaxed);
    Pool::new(fake, PoolTerms { size, timeout: Duration::from_millis(timeout_ms) })
}

async fn answers(link: usize) -> (usize, Result<usize, SourceError>) {
    tokio::time::sleep(Duration::from_millis(1)).await;
    (link, Ok(link))
}

#[test]
fn connections_are_shared_and_bounded() {
    run(async {
        let pool = pool(2, 30_000);
        let asked = (0..20).map(|_| pool.ask(answers));
        let answered = futures_of(asked).await;
        assert!(answered.iter().all(|answer| answer.as_ref().is_ok_and(|link| *link < 2)));
        assert_eq!(pool.connector().connects.load(Ordering::Relaxed), 2);
    });
}

/// Drives them together.
async fn futures_of<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(move |context| {
        let mut is_done = true;
        for (future, output) in &mut running {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        match is_done {
            true => {
                std::task::Poll::Ready(running.iter_mut().filter_map(|(_, output)| output.take()).collect())
            }
            false => std::task::Poll::Pending,
        }
    })
    .await
}

#[test]
fn a_connection_that_was_lost_while_idle_is_replaced_unseen() {
    run(async {
        let pool = pool(4, 30_000);
        assert_eq!(pool.ask(answers).await.unwrap(), 0);
        let answer = pool
            .ask(|link| async move {
                match link {
                    0 => (link, Err(SourceError::Lost(io::ErrorKind::BrokenPipe.into()))),
                    _ => (link, Ok(link)),
                }
            })
            .await;
        assert_eq!(answer.unwrap(), 1);
        let refused =
            pool.ask(|link| async move { (link, Err::<(), _>(SourceError::Refused("no".into()))) }).await;
        assert!(matches!(refused, Err(SourceError::Refused(_))));
        assert_eq!(pool.ask(answers).await.unwrap(), 1, "a server that says no keeps its connection");
        let strange = pool.ask(|link| async move { (link, Err::<(), _>(SourceError::Answer("?"))) }).await;
        assert!(matches!(strange, Err(SourceError::Answer(_))));
        assert_eq!(pool.ask(answers).await.unwrap(), 2, "one that speaks otherwise does not");
    });
}

#[test]
fn a_server_that_is_gone_is_left_alone_for_a_while_and_found_again() {
    run(async {
        let pool = pool(4, 30_000);
        pool.connector().is_there.store(false, Ordering::Relaxed);
        let mut connects = 0;
        for _ in 0..1_000 {
            match pool.ask(answers).await {
                Err(SourceError::Connect { .. }) => connects += 1,
                Err(SourceError::Waiting) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(connects < 20, "{connects}");
        pool.connector().is_there.store(true, Ordering::Relaxed);
        let found = async {
            while pool.ask(answers).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found).await.unwrap();
    });
}

#[test]
fn a_server_that_does_not_answer_costs_the_time_of_a_question() {
    run(async {
        let pool = pool(1, 50);
        let silent = |link| async move {
            std::future::pending::<()>().await;
            (link, Ok(()))
        };
        assert!(matches!(pool.ask(silent).await, Err(SourceError::Timeout)));
        assert!(pool.ask(answers).await.is_err(), "its connection is gone, and a new one is not due");
    });
}

#[test]
fn servers_are_read_with_port_or_without() {
    let parse = |text: &str| Endpoint::parse("server", text, 6379, None);
    for (text, host, port) in [
        ("h", "h", 6379),
        ("h:1", "h", 1),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]:7", "::1", 7),
        ("[::1]", "::1", 6379),
    ] {
        let endpoint = parse(text).unwrap();
        assert_eq!((&*endpoint.host, endpoint.port), (host, port), "{text}");
    }
    for text in ["", ":1", "h:", "h:0", "h:65536", "[::1", "[::1]x", "redis://h", "a b", "u@h"] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("server: ") && error.contains("HOST:PORT"), "{text}: {error}");
    }
}
