//! The options as a configuration file gives them.

use crate::transport::websocket::{Origins, RequestPath, Subprotocols, WebSocketOptions};

#[test]
fn options_that_are_printed_are_read_back() {
    let options = WebSocketOptions {
        mqtt_path: "/".parse().unwrap(),
        check_origins: "https://example.com, http://[::1]:8080".parse().unwrap(),
        ..WebSocketOptions::default()
    };
    for options in [options, WebSocketOptions::default()] {
        let value = serde_json::to_value(&options).unwrap();
        assert_eq!(serde_json::from_value::<WebSocketOptions>(value).unwrap(), options);
    }
    assert_eq!(serde_json::from_str::<WebSocketOptions>("{}").unwrap(), WebSocketOptions::default());
    assert!(serde_json::from_str::<WebSocketOptions>("{\"mqtt_paht\": \"/\"}").is_err());
    assert!(serde_json::from_str::<WebSocketOptions>("{\"mqtt_path\": \"mqtt\"}").is_err());
}

#[test]
fn wrong_options_say_what_was_expected() {
    for path in ["", "mqtt", "/mqtt?a", "/m#", "/m qtt", "/m\r\n", "/é"] {
        let error = path.parse::<RequestPath>().unwrap_err().to_string();
        assert!(error.contains("a path such as /mqtt"), "{error}");
    }
    for names in ["", " , ", "mqtt;q", "mqtt v5", "mqtt\r\nX: y"] {
        let error = names.parse::<Subprotocols>().unwrap_err().to_string();
        assert!(error.contains("a list of subprotocols"), "{error}");
    }
    for origins in ["example.com", "http://", "http://a/", "http://a b", "*"] {
        let error = origins.parse::<Origins>().unwrap_err().to_string();
        assert!(error.contains("a list of origins"), "{error}");
    }
    assert_eq!("".parse::<Origins>().unwrap().to_string(), "");
    assert_eq!(" a,b ,, c".parse::<Subprotocols>().unwrap().to_string(), "a, b, c");
}
