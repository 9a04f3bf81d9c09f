//! `mosquitto_pub` and `mosquitto_sub` of Debian's mosquitto-clients: each case is a few of their processes.
//! What a subscriber prints is read line by line; a case never waits longer than `LIMIT` for a line.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Target;
use crate::process::{self, Live};

/// The longest wait for one thing.
const LIMIT: Duration = Duration::from_secs(20);
/// Marks a message among the debug lines: retain flag, QoS, topic and payload follow.
const FORMAT: &str = "> %r %q %t %p";

/// A case and its name.
type Case = (&'static str, fn(&Tools) -> Result<()>);

/// Runs all cases and returns a line for each, as the other clients do.
pub fn run(target: &Target, version: &'static str) -> Result<String> {
    let tools = Tools { target: target.clone(), version };
    let cases: [Case; 10] = [
        ("qos0", |tools| tools.at_qos("0")),
        ("qos1", |tools| tools.at_qos("1")),
        ("qos2", |tools| tools.at_qos("2")),
        ("retained", Tools::retained),
        ("will", Tools::will),
        ("shared", Tools::shared),
        ("session", Tools::session),
        ("wildcard", Tools::wildcard),
        ("large", Tools::large),
        ("order", Tools::order),
    ];
    let mut lines = String::new();
    for (name, case) in cases {
        lines += &to_line(name, case(&tools));
    }
    match version {
        "5.0" => lines += &to_line("properties", tools.properties()),
        _ => lines += "skip properties\n",
    }
    Ok(lines)
}

fn to_line(name: &str, result: Result<()>) -> String {
    match result {
        Ok(()) => format!("ok {name}\n"),
        Err(error) => format!("fail {name} {}\n", format!("{error:#}").replace('\n', " ")),
    }
}

/// The two programs, pointed at one broker in one version.
struct Tools {
    target: Target,
    version: &'static str,
}

/// A running `mosquitto_sub` whose subscription the broker has granted.
struct Subscriber(Live);

impl Subscriber {
    /// The next message as `RETAIN QOS TOPIC PAYLOAD`.
    fn next(&mut self) -> Result<String> {
        let deadline = Instant::now() + LIMIT;
        while let Some(line) = self.0.next_line(deadline)? {
            if let Some(message) = line.strip_prefix("> ") {
                return Ok(message.to_owned());
            }
        }
        bail!("mosquitto_sub ended")
    }

    /// Payloads up to and without the sentinel `last`.
    fn until(&mut self, last: &str) -> Result<Vec<String>> {
        let mut payloads = Vec::new();
        loop {
            let message = self.next()?;
            let payload = message.splitn(4, ' ').nth(3).unwrap_or_default();
            if payload == last {
                return Ok(payloads);
            }
            payloads.push(payload.to_owned());
        }
    }
}

impl Tools {
    fn topic(&self, name: &str) -> String {
        format!("{}/{name}", self.target.prefix)
    }

    fn arguments(&self) -> Vec<String> {
        arguments(&self.target, self.version)
    }

    /// Starts `mosquitto_sub` and waits until its subscriptions are granted.
    fn subscribe(&self, words: &[&str]) -> Result<Subscriber> {
        self.subscribe_as(FORMAT, words)
    }

    fn subscribe_as(&self, format: &str, words: &[&str]) -> Result<Subscriber> {
        // Into a pipe it would write in blocks; stdbuf (coreutils) makes it write in lines.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "mosquitto_sub", "-d", "-F", format]).args(self.arguments()).args(words);
        let mut live = Live::start(&mut command, Stdio::null())?;
        let deadline = Instant::now() + LIMIT;
        loop {
            match live.next_line(deadline).context("waiting for SUBACK")? {
                Some(line) if line.starts_with("Subscribed") => return Ok(Subscriber(live)),
                // A message of a stored session may come before the SUBACK and must not be lost.
                Some(line) if line.starts_with("> ") => bail!("message before SUBACK: {line}"),
                Some(_) => {}
                None => bail!("mosquitto_sub ended before SUBACK"),
            }
        }
    }

    fn publish(&self, words: &[&str]) -> Result<()> {
        self.publish_lines(words, "")
    }

    fn publish_lines(&self, words: &[&str], input: &str) -> Result<()> {
        let mut command = Command::new("mosquitto_pub");
        command.args(self.arguments()).args(words);
        let finished = process::run_captured(&mut command, input.as_bytes(), LIMIT)?;
        ensure!(finished.is_success(), "mosquitto_pub: {}", finished.to_reason());
        Ok(())
    }

    fn at_qos(&self, qos: &str) -> Result<()> {
        let topic = self.topic(&format!("qos{qos}"));
        let mut subscriber = self.subscribe(&["-t", &topic, "-q", qos])?;
        let lines: String = numbers(20).iter().map(|number| format!("{number}\n")).collect();
        self.publish_lines(&["-t", &topic, "-q", qos, "-l"], &lines)?;
        self.publish(&["-t", &topic, "-q", qos, "-m", "end"])?;
        for number in numbers(20) {
            let message = subscriber.next()?;
            ensure!(message == format!("0 {qos} {topic} {number}"), "expected {number}, got {message}");
        }
        let rest = subscriber.until("end")?;
        ensure!(rest.is_empty(), "a message came twice: {rest:?}");
        self.any_topic(qos)
    }

    /// The first thing a new user types: `mosquitto_sub -t '#' -v` and a `mosquitto_pub`.
    fn any_topic(&self, qos: &str) -> Result<()> {
        let topic = self.topic("anything");
        let mut subscriber = self.subscribe(&["-t", "#", "-v"])?;
        self.publish(&["-t", &topic, "-q", qos, "-m", "hello"])?;
        let expected = format!("0 0 {topic} hello");
        // Another user of a shared broker may publish too.
        while subscriber.next()? != expected {}
        Ok(())
    }

    fn retained(&self) -> Result<()> {
        let topic = self.topic("retained");
        let (a, any) = (format!("{topic}/a"), format!("{topic}/+"));
        self.publish(&["-t", &a, "-q", "1", "-r", "-m", "old"])?;
        self.publish(&["-t", &a, "-q", "1", "-r", "-m", "new"])?;
        let message = self.subscribe(&["-t", &any, "-q", "1"])?.next()?;
        ensure!(message == format!("1 1 {a} new"), "retained message: {message}");
        self.publish(&["-t", &a, "-q", "1", "-r", "-n"])?;
        let mut second = self.subscribe(&["-t", &any, "-q", "1"])?;
        self.publish(&["-t", &format!("{topic}/b"), "-q", "1", "-m", "end"])?;
        let rest = second.until("end")?;
        ensure!(rest.is_empty(), "a cleared message was delivered: {rest:?}");
        Ok(())
    }

    fn will(&self) -> Result<()> {
        let topic = self.topic("will");
        let (polite, crash) = (format!("{topic}/polite"), format!("{topic}/crash"));
        let mut watcher = self.subscribe(&["-t", &format!("{topic}/#"), "-q", "1"])?;
        let will = ["--will-topic", &polite, "--will-payload", "no", "--will-qos", "1"];
        self.publish(&[&will[..], &["-t", &self.topic("nothing"), "-m", "x"]].concat())?;
        let will = ["--will-topic", &crash, "--will-payload", "gone", "--will-qos", "1", "--will-retain"];
        let crashing = self.subscribe(&[&will[..], &["-t", &self.topic("nothing")]].concat())?;
        crashing.0.kill();
        let message = watcher.next()?;
        ensure!(message.ends_with(&format!("{crash} gone")), "will: {message}");
        let message = self.subscribe(&["-t", &crash, "-q", "1"])?.next()?;
        ensure!(message == format!("1 1 {crash} gone"), "the will was not retained: {message}");
        self.publish(&["-t", &crash, "-q", "1", "-r", "-n"])
    }

    fn shared(&self) -> Result<()> {
        let topic = self.topic("shared");
        let filter = format!("$share/g/{topic}");
        let ends = ["end0", "end1"].map(|end| format!("{topic}/{end}"));
        let mut members = Vec::new();
        for end in &ends {
            members.push(self.subscribe(&["-t", &filter, "-t", end, "-q", "1"])?);
        }
        let lines: String = numbers(100).iter().map(|number| format!("{number}\n")).collect();
        self.publish_lines(&["-t", &topic, "-q", "1", "-l"], &lines)?;
        let mut got: Vec<Vec<String>> = Vec::new();
        for (member, end) in members.iter_mut().zip(&ends) {
            self.publish(&["-t", end, "-q", "1", "-m", "end"])?;
            got.push(member.until("end")?);
        }
        let counts = format!("{} + {} messages", got[0].len(), got[1].len());
        ensure!(got.iter().all(|payloads| !payloads.is_empty()), "one member got all: {counts}");
        let mut all: Vec<String> = got.concat();
        all.sort_by_key(|payload| payload.parse::<u32>().unwrap_or(u32::MAX));
        ensure!(all == numbers(100), "{counts}: {all:?}");
        Ok(())
    }

    fn session(&self) -> Result<()> {
        let topic = self.topic("session");
        let client_id = format!("{}x", self.target.prefix);
        let words = ["-i", client_id.as_str(), "-c", "-t", topic.as_str(), "-q", "1"];
        let expiry: &[&str] = if self.version == "5.0" { &["-x", "3600"] } else { &[] };
        let mut enrol = Command::new("mosquitto_sub");
        enrol.args(self.arguments()).args(words).args(expiry).arg("-E");
        let finished = process::run_captured(&mut enrol, b"", LIMIT)?;
        ensure!(finished.is_success(), "mosquitto_sub -E: {}", finished.to_reason());
        let lines: String = numbers(20).iter().map(|number| format!("{number}\n")).collect();
        self.publish_lines(&["-t", &topic, "-q", "1", "-l"], &lines)?;
        // The stored messages come right after CONNACK, so this one is read to its end rather than awaited.
        let mut collect = Command::new("mosquitto_sub");
        collect.args(self.arguments()).args(words).args(expiry).args(["-C", "20", "-W", "20"]);
        let finished = process::run_captured(&mut collect, b"", LIMIT + Duration::from_secs(2))?;
        let got: Vec<&str> = finished.stdout.lines().collect();
        ensure!(got == numbers(20), "offline messages {got:?}, {}", finished.to_reason());
        // A clean connection with the same id ends the session.
        self.publish(&["-i", &client_id, "-t", &self.topic("nothing"), "-m", "x"])
    }

    fn wildcard(&self) -> Result<()> {
        let topic = self.topic("wild");
        let filters = [format!("{topic}/+/x"), format!("{topic}/deep/#")];
        let mut subscriber = self.subscribe(&["-t", &filters[0], "-t", &filters[1], "-q", "1"])?;
        for name in ["a/x", "a/y", "b/x", "a/b/x", "deep", "deep/1", "deep/1/2/3", "deeper", "a", "end/x"] {
            self.publish(&["-t", &format!("{topic}/{name}"), "-q", "1", "-m", name])?;
        }
        let got = subscriber.until("end/x")?;
        ensure!(got == ["a/x", "b/x", "deep", "deep/1", "deep/1/2/3"], "{got:?}");
        Ok(())
    }

    fn large(&self) -> Result<()> {
        let topic = self.topic("large");
        let payload: String =
            (0..200_000_u32).map(|number| char::from(b'a' + (number * 7 % 23) as u8)).collect();
        let mut subscriber = self.subscribe(&["-t", &topic, "-q", "2"])?;
        for qos in ["0", "1", "2"] {
            self.publish_lines(&["-t", &topic, "-q", qos, "-s"], &payload)?;
            let message = subscriber.next()?;
            ensure!(
                message == format!("0 {qos} {topic} {payload}"),
                "changed at QoS {qos}: {} B",
                message.len()
            );
        }
        Ok(())
    }

    fn order(&self) -> Result<()> {
        let topic = self.topic("order");
        let mut subscriber = self.subscribe(&["-t", &topic, "-q", "2"])?;
        let lines: String = numbers(1000).iter().map(|number| format!("{number}\n")).collect();
        for qos in ["1", "2"] {
            self.publish_lines(&["-t", &topic, "-q", qos, "-l"], &lines)?;
            self.publish(&["-t", &topic, "-q", qos, "-m", "end"])?;
            let got = subscriber.until("end")?;
            ensure!(got == numbers(1000), "QoS {qos}: {} messages, first {:?}", got.len(), got.first());
        }
        Ok(())
    }

    fn properties(&self) -> Result<()> {
        let topic = self.topic("properties");
        let mut subscriber = self.subscribe_as("> %P|%C|%D|%R", &["-t", &topic, "-q", "1"])?;
        let mut words = vec!["-t", &topic, "-q", "1", "-m", "payload"];
        for property in [
            "user-property b 1",
            "user-property a 2",
            "user-property b 3",
            "content-type text/plain",
            "correlation-data key",
            "response-topic answer",
        ] {
            words.extend(["-D", "publish"]);
            words.extend(property.split(' '));
        }
        self.publish(&words)?;
        let message = subscriber.next()?;
        ensure!(message == "b:1 a:2 b:3|text/plain|key|answer", "properties: {message}");
        Ok(())
    }
}

/// What both programs need to reach the broker and speak this version.
pub fn arguments(target: &Target, version: &str) -> Vec<String> {
    let version = match version {
        "3.1" => "mqttv31",
        "3.1.1" => "mqttv311",
        _ => "mqttv5",
    };
    let port = target.port.to_string();
    let mut words = ["-h", &target.host, "-p", &port, "-V", version].map(str::to_owned).to_vec();
    if let Some(authority) = &target.authority {
        words.extend(["--cafile".to_owned(), authority.display().to_string()]);
    }
    words
}

fn numbers(count: u32) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}
