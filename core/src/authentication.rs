//! Enhanced authentication (MQTT 5.0, section 4.12): the exchange of AUTH packets, whatever the method.
//!
//! The exchange is a state machine without IO. A [`Method`] knows SCRAM or another mechanism; the exchange knows which
//! packets may come when, and what is answered. The broker has no method yet, so it refuses every CONNECT that names one
//! with 0x8C; methods come with access control.

use crate::codec::{Auth, Connect};
use crate::reason::ReasonCode;
use crate::session::Violation;
use bytes::Bytes;
use std::fmt;

/// What a method makes of the client's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The client must answer this.
    Continue(Bytes),
    /// The client is who it says; the data, if any, goes with the last packet.
    Accept(Option<Bytes>),
    /// It is not.
    Reject(ReasonCode),
}

/// One run of an authentication mechanism.
pub trait Method: Send {
    /// Handles the client's Authentication Data.
    fn handle_data(&mut self, data: Option<&[u8]>) -> Step;

    /// Who the client proved to be, once it is accepted; none for a mechanism that knows no user names.
    fn user_name(&self) -> Option<&str> {
        None
    }
}

/// The mechanisms a broker offers.
pub trait Methods {
    /// Begins a run of the mechanism with this name; `None` if it is not offered.
    fn begin(&self, name: &str) -> Option<Box<dyn Method>>;
}

/// No mechanism at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMethods;

impl Methods for NoMethods {
    fn begin(&self, _name: &str) -> Option<Box<dyn Method>> {
        None
    }
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Send this AUTH and wait for the client's.
    Send(Auth),
    /// Accept the connection: CONNACK names the method and carries this data. [MQTT-4.12.0-5]
    Connect {
        /// The method of CONNECT.
        method: Box<str>,
        /// Data for the client.
        data: Option<Bytes>,
        /// Who it proved to be; what counts for a client that gave no user name in CONNECT.
        user_name: Option<Box<str>>,
    },
    /// Refuse: CONNACK with this reason while connecting [MQTT-4.12.0-4], DISCONNECT afterwards [MQTT-4.12.1-2].
    Refuse(ReasonCode),
}

enum State {
    Connecting(Box<dyn Method>),
    Idle,
    Renewing(Box<dyn Method>),
}

/// The authentication of one connection.
pub struct AuthExchange {
    method: Box<str>,
    state: State,
}

impl fmt::Debug for AuthExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Connecting(_) => "connecting",
            State::Idle => "idle",
            State::Renewing(_) => "renewing",
        };
        f.debug_struct("AuthExchange").field("method", &self.method).field("state", &state).finish()
    }
}

impl AuthExchange {
    /// Begins with a CONNECT; `Ok(None)` if it names no method, so that no AUTH may follow. [MQTT-4.12.0-6]
    ///
    /// # Errors
    /// 0x8C for a method that is not offered. [MQTT-4.12.0-1]
    pub fn begin(
        connect: &Connect,
        methods: &dyn Methods,
    ) -> Result<Option<(AuthExchange, Outcome)>, ReasonCode> {
        let Some(name) = &connect.properties.authentication_method else { return Ok(None) };
        let run = methods.begin(name).ok_or(ReasonCode::BadAuthenticationMethod)?;
        let mut exchange = AuthExchange { method: name.clone(), state: State::Connecting(run) };
        let outcome = exchange.step(connect.properties.authentication_data.as_deref());
        Ok(Some((exchange, outcome)))
    }

    /// Whether CONNACK is still to come: the client may send nothing but AUTH and DISCONNECT. [MQTT-3.1.2-30]
    pub fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting(_))
    }

    /// Handles AUTH from the client.
    ///
    /// # Errors
    /// 0x82 for an AUTH that does not fit the state, 0x8C for one that names another method. [MQTT-4.12.0-3,
    /// MQTT-4.12.1-1]
    pub fn handle_auth(&mut self, auth: &Auth, methods: &dyn Methods) -> Result<Outcome, Violation> {
        if auth.method.as_deref() != Some(&*self.method) {
            return Err(Violation::new(
                ReasonCode::BadAuthenticationMethod,
                "AUTH names another method than CONNECT",
            ));
        }
        match (auth.reason, &self.state) {
            (ReasonCode::ContinueAuthentication, State::Connecting(_) | State::Renewing(_)) => {}
            (ReasonCode::ReAuthenticate, State::Idle) => {
                let run = methods.begin(&self.method);
                let gone = Violation::new(ReasonCode::BadAuthenticationMethod, "method is no longer offered");
                self.state = State::Renewing(run.ok_or(gone)?);
            }
            _ => return Err(Violation::protocol("AUTH at the wrong time")),
        }
        Ok(self.step(auth.data.as_deref()))
    }

    fn step(&mut self, data: Option<&[u8]>) -> Outcome {
        let (State::Connecting(run) | State::Renewing(run)) = &mut self.state else {
            return Outcome::Refuse(ReasonCode::ProtocolError);
        };
        match run.handle_data(data) {
            Step::Continue(data) => {
                Outcome::Send(self.packet(ReasonCode::ContinueAuthentication, Some(data)))
            }
            Step::Reject(reason) => Outcome::Refuse(reason),
            Step::Accept(data) => match std::mem::replace(&mut self.state, State::Idle) {
                State::Connecting(run) => {
                    let user_name = run.user_name().map(Into::into);
                    Outcome::Connect { method: self.method.clone(), data, user_name }
                }
                _ => Outcome::Send(self.packet(ReasonCode::Success, data)),
            },
        }
    }

    fn packet(&self, reason: ReasonCode, data: Option<Bytes>) -> Auth {
        let method = Some(self.method.clone());
        Auth { reason, method, data, reason_string: None, user_properties: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{ConnectProperties, ProtocolVersion};

    /// Asks for a number one greater than the one it sent, twice.
    struct Counting {
        asked: u8,
    }

    impl Method for Counting {
        fn user_name(&self) -> Option<&str> {
            (self.asked == 2).then_some("counter")
        }

        fn handle_data(&mut self, data: Option<&[u8]>) -> Step {
            if self.asked > 0 && data != Some(&[self.asked + 1]) {
                return Step::Reject(ReasonCode::NotAuthorized);
            }
            if self.asked == 2 {
                return Step::Accept(Some(Bytes::from_static(b"welcome")));
            }
            self.asked += 1;
            Step::Continue(Bytes::copy_from_slice(&[self.asked]))
        }
    }

    struct Offered;

    impl Methods for Offered {
        fn begin(&self, name: &str) -> Option<Box<dyn Method>> {
            (name == "COUNT").then(|| Box::new(Counting { asked: 0 }) as Box<dyn Method>)
        }
    }

    fn connect(method: Option<&str>) -> Connect {
        Connect {
            version: ProtocolVersion::V5,
            bridge: false,
            clean_start: true,
            keep_alive_s: 0,
            client_id: "c".into(),
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties {
                authentication_method: method.map(Into::into),
                ..ConnectProperties::default()
            },
        }
    }

    fn auth(reason: ReasonCode, method: &str, data: &[u8]) -> Auth {
        let data = Some(Bytes::copy_from_slice(data));
        Auth { reason, method: Some(method.into()), data, reason_string: None, user_properties: Vec::new() }
    }

    fn asks(outcome: &Outcome, data: u8) -> bool {
        matches!(outcome, Outcome::Send(auth) if auth.reason == ReasonCode::ContinueAuthentication
            && auth.method.as_deref() == Some("COUNT") && auth.data.as_deref() == Some(&[data]))
    }

    fn answer(exchange: &mut AuthExchange, data: u8) -> Outcome {
        exchange.handle_auth(&auth(ReasonCode::ContinueAuthentication, "COUNT", &[data]), &Offered).unwrap()
    }

    fn connected() -> AuthExchange {
        let (mut exchange, first) = AuthExchange::begin(&connect(Some("COUNT")), &Offered).unwrap().unwrap();
        assert!(asks(&first, 1) && exchange.is_connecting());
        assert!(asks(&answer(&mut exchange, 2), 2));
        let data = Some(Bytes::from_static(b"welcome"));
        let user_name = Some("counter".into());
        assert_eq!(answer(&mut exchange, 3), Outcome::Connect { method: "COUNT".into(), data, user_name });
        assert!(!exchange.is_connecting());
        exchange
    }

    #[test]
    fn a_connect_without_method_begins_no_exchange() {
        assert!(AuthExchange::begin(&connect(None), &Offered).unwrap().is_none());
    }

    #[test]
    fn a_method_that_is_not_offered_is_refused() {
        let unknown = AuthExchange::begin(&connect(Some("OTHER")), &Offered);
        assert_eq!(unknown.unwrap_err(), ReasonCode::BadAuthenticationMethod);
        assert_eq!(
            AuthExchange::begin(&connect(Some("COUNT")), &NoMethods).unwrap_err(),
            ReasonCode::BadAuthenticationMethod
        );
    }

    #[test]
    fn continued_answers_lead_to_connack_with_method_and_data() {
        connected();
    }

    #[test]
    fn a_wrong_answer_is_refused_with_the_methods_reason() {
        let (mut exchange, _) = AuthExchange::begin(&connect(Some("COUNT")), &Offered).unwrap().unwrap();
        assert_eq!(answer(&mut exchange, 9), Outcome::Refuse(ReasonCode::NotAuthorized));
    }

    #[test]
    fn re_authentication_ends_with_auth_success() {
        let mut exchange = connected();
        let begin = auth(ReasonCode::ReAuthenticate, "COUNT", &[]);
        assert!(asks(&exchange.handle_auth(&begin, &Offered).unwrap(), 1));
        assert!(!exchange.is_connecting(), "other packets flow on");
        assert!(asks(&answer(&mut exchange, 2), 2));
        let Outcome::Send(last) = answer(&mut exchange, 3) else { panic!("AUTH ends it") };
        assert_eq!((last.reason, last.data.as_deref()), (ReasonCode::Success, Some(&b"welcome"[..])));
    }

    #[test]
    fn re_authentication_may_fail() {
        let mut exchange = connected();
        exchange.handle_auth(&auth(ReasonCode::ReAuthenticate, "COUNT", &[]), &Offered).unwrap();
        assert_eq!(answer(&mut exchange, 0), Outcome::Refuse(ReasonCode::NotAuthorized));
    }

    #[test]
    fn another_method_or_the_wrong_time_is_a_violation() {
        let mut exchange = connected();
        let other = exchange.handle_auth(&auth(ReasonCode::ReAuthenticate, "OTHER", &[]), &Offered);
        assert_eq!(other.unwrap_err().reason, ReasonCode::BadAuthenticationMethod);
        let unasked =
            exchange.handle_auth(&auth(ReasonCode::ContinueAuthentication, "COUNT", &[2]), &Offered);
        assert_eq!(unasked.unwrap_err().reason, ReasonCode::ProtocolError);
        let (mut connecting, _) = AuthExchange::begin(&connect(Some("COUNT")), &Offered).unwrap().unwrap();
        let early = connecting.handle_auth(&auth(ReasonCode::ReAuthenticate, "COUNT", &[]), &Offered);
        assert_eq!(early.unwrap_err().reason, ReasonCode::ProtocolError);
    }
}
