//! `ringmq-bench report`: results as one HTML page that needs nothing else: plots as inline SVG, tables, host facts,
//! command lines. It never measures and never fetches anything, neither here nor in the reader's browser.

mod curves;
mod markup;
pub mod numbers;
mod plot;
mod results;
mod tables;

use crate::args::ReportArguments;
use anyhow::{Context, Result};
use markup::escape;
use results::{Entry, Group};
use std::fs;

/// The page's only style sheet; it stands in the page.
const STYLE: &str = include_str!("page.css");

/// Reads the results and writes the page.
///
/// # Errors
/// When a result cannot be read or the page cannot be written.
pub fn run(arguments: &ReportArguments) -> Result<()> {
    let groups = results::read(&arguments.results)?;
    fs::write(&arguments.output, to_html(&groups)).with_context(|| arguments.output.display().to_string())
}

/// The whole page.
fn to_html(groups: &[Group]) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>ringmq-bench report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n\
         <h1>ringmq-bench report</h1>\n"
    );
    if groups.len() > 1 {
        html.push_str("<nav aria-label=\"Scenarios\"><ul>\n");
        for (number, group) in groups.iter().enumerate() {
            html.push_str(&format!("<li><a href=\"#s{number}\">{}</a></li>\n", escape(&group.title)));
        }
        html.push_str("</ul></nav>\n");
    }
    html.push_str("</header>\n<main>\n");
    for (number, group) in groups.iter().enumerate() {
        html.push_str(&to_section(number, group));
    }
    html.push_str("<section>\n<h2>Hosts</h2>\n");
    html.push_str(&tables::hosts(groups));
    html + "</section>\n</main>\n</body>\n</html>\n"
}

fn to_section(number: usize, group: &Group) -> String {
    let mut html = format!("<section id=\"s{number}\">\n<h2>{}</h2>\n", escape(&group.title));
    html.push_str(&tables::failures(group));
    if group.comparison.is_object() {
        html.push_str(&tables::comparison(group));
        html.push_str("<p>Plots and values below are of each broker's run in the middle.</p>\n");
    }
    let plots = curves::plots(&group.runs);
    if !plots.is_empty() {
        html.push_str(&to_legend(&group.runs));
        html.push_str("<div class=\"plots\">\n");
        html.extend(plots.iter().map(plot::Plot::to_html));
        html.push_str("</div>\n");
    }
    html.push_str("<h3>Values</h3>\n");
    html.push_str(&tables::values(&group.runs));
    html.push_str("<h3>Command lines</h3>\n");
    html.push_str(&tables::command_lines(&group.runs));
    html + "</section>\n"
}

/// Which line is which run.
fn to_legend(runs: &[Entry]) -> String {
    let items = runs.iter().enumerate().map(|(run, entry)| {
        let dashed = if run < plot::COLOURS { "" } else { " dashed" };
        format!(
            "<li><svg class=\"sample\" viewBox=\"0 0 28 10\" aria-hidden=\"true\"><g class=\"run{}{dashed}\">\
             <polyline points=\"1,5 27,5\"/></g></svg> {}</li>\n",
            run % plot::COLOURS,
            escape(&entry.label)
        )
    });
    format!("<ul class=\"legend\">\n{}</ul>\n", items.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_closes_what_it_opens() {
        let run = |label: &str, us: f64| Entry {
            label: label.to_owned(),
            report: json!({ "latency_p50_us": us, "host": { "kernel": "<6>" }, "command_line": "a 'b'",
                            "failures": ["1 lost"] }),
        };
        let runs = || vec![run("a", 5.0), run("b", 7.0)];
        let group = |title: &str| Group { title: title.to_owned(), runs: runs(), comparison: Value::Null };
        let html = to_html(&[group("pairs"), group("a & b")]);
        for word in ["http:", "https:", "src=", "@import", "url(", "<script"] {
            assert!(!html.contains(word), "{word}");
        }
        for tag in [
            "html", "body", "main", "section", "svg", "g", "figure", "table", "tbody", "tr", "td", "th",
            "ul", "li", "dl",
        ] {
            let opened =
                html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert!(html.contains("&lt;6&gt;") && html.contains("a &amp; b") && html.contains("1 lost"));
    }
}
