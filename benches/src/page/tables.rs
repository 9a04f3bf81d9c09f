//! The tables of the page: values side by side with ratios, figures of a comparison, facts about hosts, command lines.
//! It never computes a figure a result does not contain, except ratios.

use super::markup::escape;
use super::numbers::short;
use super::results::{Entry, Group, list};
use crate::report::grouped;
use serde_json::Value;
use std::collections::BTreeSet;

/// Keys that are shown elsewhere on the page.
const SHOWN_ELSEWHERE: [&str; 7] =
    ["scenario", "compared_scenario", "broker", "round", "command_line", "broker_command_line", "passed"];
/// Beginnings of keys that stand first; the others follow by name.
const FIRST: [&str; 6] =
    ["broker_cpu_us_per", "delivered_per_s", "connected_per_s", "latency_p", "broker_rss_per", "lost"];

/// Every value of every run, with ratios to the first run.
pub fn values(runs: &[Entry]) -> String {
    let mut keys: Vec<&str> = all_keys(runs.iter().map(|run| &run.report));
    keys.sort_by_key(|key| {
        let rank = FIRST.iter().position(|first| key.starts_with(first)).unwrap_or(FIRST.len());
        // Percentiles in their order: p99, p999, p9999.
        let length = if key.starts_with("latency_p") { key.len() } else { 0 };
        (rank, length, *key)
    });
    let mut html = "<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">value</th>".to_owned();
    for (index, run) in runs.iter().enumerate() {
        html.push_str(&format!("<th scope=\"col\" class=\"number\">{}</th>", escape(&run.label)));
        if index > 0 {
            html.push_str("<th scope=\"col\" class=\"number\">ratio</th>");
        }
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for key in keys {
        html.push_str(&format!("<tr><th scope=\"row\">{}</th>", escape(&key.replace('_', " "))));
        for (index, run) in runs.iter().enumerate() {
            html.push_str(&format!("<td class=\"number\">{}</td>", text_of(&run.report[key])));
            if index > 0 {
                html.push_str(&format!(
                    "<td class=\"number\">{}</td>",
                    ratio(&run.report[key], &runs[0].report[key])
                ));
            }
        }
        html.push_str("</tr>\n");
    }
    html + "</tbody></table></div>\n"
}

/// Medians of a comparison.
pub fn comparison(group: &Group) -> String {
    let mut html = "<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\">median of the rounds</th>\
                    <th scope=\"col\">broker</th><th scope=\"col\" class=\"number\">median</th>\
                    <th scope=\"col\" class=\"number\">lowest</th><th scope=\"col\" class=\"number\">highest</th>\
                    <th scope=\"col\" class=\"number\">ratio to the best other</th></tr></thead>\n<tbody>\n"
        .to_owned();
    let keys = list(&group.comparison["keys"]);
    for key in keys.iter().filter_map(Value::as_str) {
        for result in list(&group.comparison["results"]) {
            let figure = &result["values"][key];
            let cell = |name: &str| figure[name].as_f64().map_or("–".to_owned(), short);
            let mark = if figure["verified"] == false { " !" } else { "" };
            html.push_str(&format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"number\">{}{mark}</td><td class=\"number\">{}</td>\
                 <td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
                escape(&key.replace('_', " ")),
                escape(result["broker"].as_str().unwrap_or_default()),
                cell("median"),
                cell("lowest"),
                cell("highest"),
                figure["ratio_to_best_other"].as_f64().map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
            ));
        }
    }
    html + "</tbody></table></div>\n"
}

/// What failed, broker by broker of a comparison or run by run; empty where all passed.
pub fn failures(group: &Group) -> String {
    let of_brokers = list(&group.comparison["results"])
        .iter()
        .map(|result| (result["broker"].as_str(), &result["failures"]));
    let of_runs = group.runs.iter().map(|run| (Some(run.label.as_str()), &run.report["failures"]));
    let all: Vec<(Option<&str>, &Value)> =
        if group.comparison.is_null() { of_runs.collect() } else { of_brokers.collect() };
    let mut html = String::new();
    for (label, failures) in all {
        for failure in list(failures).iter().filter_map(Value::as_str) {
            let label = escape(label.unwrap_or_default());
            html.push_str(&format!("<li><strong>Failed: {label}</strong>: {}</li>\n", escape(failure)));
        }
    }
    if html.is_empty() { html } else { format!("<ul class=\"failed\">\n{html}</ul>\n") }
}

/// How each run and its broker were started.
pub fn command_lines(runs: &[Entry]) -> String {
    let mut html = "<dl>\n".to_owned();
    for run in runs {
        html.push_str(&format!("<dt>{}</dt>\n", escape(&run.label)));
        for key in ["command_line", "broker_command_line"] {
            if let Some(line) = run.report[key].as_str() {
                html.push_str(&format!("<dd><code>{}</code></dd>\n", escape(line)));
            }
        }
    }
    html + "</dl>\n"
}

/// Facts about the hosts: one column for each different host, with the number of runs made there.
pub fn hosts(groups: &[Group]) -> String {
    let mut hosts: Vec<(&Value, u32)> = Vec::new();
    for run in groups.iter().flat_map(|group| &group.runs) {
        let host = &run.report["host"];
        match hosts.iter_mut().find(|(known, _)| *known == host) {
            Some((_, runs)) => *runs += 1,
            None if host.is_object() => hosts.push((host, 1)),
            None => {}
        }
    }
    if hosts.is_empty() {
        return "<p>The results say nothing about their host.</p>\n".to_owned();
    }
    let row = |name: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", escape(&name.replace('_', " ")))
    };
    let mut html = "<div class=\"wide\"><table>\n<tbody>\n".to_owned();
    html.push_str(&row("runs", hosts.iter().map(|(_, runs)| runs.to_string()).collect()));
    for key in all_keys(hosts.iter().map(|(host, _)| *host)) {
        html.push_str(&row(key, hosts.iter().map(|(host, _)| text_of(&host[key])).collect()));
    }
    html + "</tbody></table></div>\n"
}

/// Keys with a value that fits into a cell, each once, by name.
fn all_keys<'a>(objects: impl Iterator<Item = &'a Value>) -> Vec<&'a str> {
    let fields = objects.filter_map(Value::as_object).flatten();
    let keys =
        fields.filter(|(_, value)| !value.is_object() && !value.is_array()).map(|(key, _)| key.as_str());
    keys.filter(|key| !SHOWN_ELSEWHERE.contains(key)).collect::<BTreeSet<&str>>().into_iter().collect()
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => escape(text),
        Value::Number(number) => grouped(&number.to_string()),
        other => escape(&other.to_string()),
    }
}

fn ratio(own: &Value, first: &Value) -> String {
    match (own.as_f64(), first.as_f64()) {
        (Some(own), Some(first)) if first != 0.0 => format!("{:.2}", own / first),
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(label: &str, report: Value) -> Entry {
        Entry { label: label.to_owned(), report }
    }

    #[test]
    fn values_stand_side_by_side_with_ratios_to_the_first() {
        let html = values(&[
            entry("a", json!({ "zeal": 4, "delivered_per_s": 2_000, "series": [], "host": {}, "lost": 0 })),
            entry("<b>", json!({ "delivered_per_s": 1_000.5, "lost": 3, "extra": "x&y" })),
        ]);
        assert!(html.contains("<td class=\"number\">2,000</td><td class=\"number\">1,000.5</td><td class=\"number\">0.50</td>"), "{html}");
        assert!(
            html.contains("<th scope=\"col\" class=\"number\">&lt;b&gt;</th>") && html.contains("x&amp;y"),
            "{html}"
        );
        assert!(html.find("delivered per s") < html.find("zeal") && !html.contains("series"), "{html}");
        // Nothing is a multiple of zero.
        assert!(
            html.contains(
                "<td class=\"number\">0</td><td class=\"number\">3</td><td class=\"number\">–</td>"
            ),
            "{html}"
        );
    }

    #[test]
    fn equal_hosts_are_shown_once() {
        let host = |kernel: &str| json!({ "host": { "kernel": kernel, "cores": 2 } });
        let runs = vec![entry("a", host("6.1")), entry("b", host("6.1")), entry("c", host("6.2"))];
        let groups = [Group { title: "s".to_owned(), runs, comparison: Value::Null }];
        let html = hosts(&groups);
        assert!(html.contains("<td>2</td><td>1</td>") && html.contains("<td>6.1</td><td>6.2</td>"), "{html}");
        assert!(hosts(&[]).contains("nothing about their host"));
    }

    #[test]
    fn failures_are_listed_for_runs_and_for_brokers_of_a_comparison() {
        let runs = || vec![entry("a", json!({ "failures": ["2 lost"] }))];
        let single = Group { title: String::new(), runs: runs(), comparison: Value::Null };
        assert!(failures(&single).contains("Failed: a</strong>: 2 lost"));
        let compared =
            json!({ "results": [{ "broker": "b", "failures": ["round 1: late"] }, { "broker": "c" }] });
        let compared = Group { title: String::new(), runs: runs(), comparison: compared };
        assert!(failures(&compared).contains("Failed: b</strong>: round 1: late"));
        assert!(
            failures(&Group { title: String::new(), runs: Vec::new(), comparison: Value::Null }).is_empty()
        );
    }
}
