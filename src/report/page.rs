//! The page: one HTML file with its style, charts and pictures inside.

use super::chart::{curve, escape, ridges};
use super::{Curve, Found, Number, Report, short, time, words};
use crate::Mat;
use crate::train::{Histogram, Look, Snapshots};
use crate::viz::{Grid, Shade, png_bytes};
use base64::{Engine, prelude::BASE64_STANDARD};
use std::fmt::{Display, Write};

/// All of it.
pub(super) fn page(report: &Report) -> String {
    let title = escape(&report.title());
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<header><h1>{title}</h1>{}</header>\n<main>\n",
        subtitle(report)
    );
    html += &tiles(report);
    html += &doctor(report);
    let curves: String = report.curves().iter().map(chart_of).collect();
    let curves = if curves.is_empty() { curves } else { format!("<div class=\"curves\">{curves}</div>") };
    section(&mut html, "Learning curves", "metrics.jsonl", &curves);
    match &report.snapshots {
        Some(snapshots) => {
            let image = report.about.as_ref().and_then(|about| about.image);
            section(&mut html, "Samples over time", "looks", &strips(snapshots, image));
            section(&mut html, "Weights, biases and updates", "looks", &histograms(&snapshots.looks));
            section(&mut html, "Hidden activity", "hidden units", &activity(&snapshots.activity));
        }
        None => section(&mut html, "Samples, histograms, hidden activity", "snapshots.safetensors", ""),
    }
    let pictures: String = report.pictures.iter().map(|(name, bytes)| picture(name, bytes)).collect();
    section(&mut html, "Pictures of the run", "filters.png and samples.png", &pictures);
    html += &tables(report);
    html + "</main>\n</body>\n</html>\n"
}

fn subtitle(report: &Report) -> String {
    let about = report.about.as_ref();
    let began = about.map(|a| format!("began {}", escape(&a.began.replace('T', " ").replace('Z', " UTC"))));
    let seed = about.and_then(|a| a.settings.get("seed")).map(|seed| format!("seed {}", escape(seed)));
    let trained = report.seconds().map(|s| format!("trained for {}", time(s)));
    let parts: Vec<String> = [began, trained, seed].into_iter().flatten().collect();
    format!("<p>{}</p>", parts.join(" · "))
}

/// A heading and what stands below it, or a sentence that it is not there.
fn section(html: &mut String, heading: &str, source: &str, body: &str) {
    let body = if body.is_empty() { format!("<p class=\"note\">{source}: not there.</p>") } else { body.to_owned() };
    let _ = writeln!(html, "<section><h2>{heading}</h2><div class=\"cards\">{body}</div></section>");
}
/// A figure in a card with a sentence on how to read it.
fn card(heading: impl Display, figure: &str, note: impl Display, class: &str) -> String {
    format!("<figure class=\"card {class}\"><h3>{heading}</h3>{figure}<figcaption>{note}</figcaption></figure>\n")
}
fn image(bytes: &[u8], alt: &str) -> String {
    format!("<img alt=\"{}\" src=\"data:image/png;base64,{}\">", escape(alt), BASE64_STANDARD.encode(bytes))
}
/// A minus sign as long as a plus.
fn sign(number: String) -> String {
    number.replace('-', "−")
}

fn tiles(report: &Report) -> String {
    let tile = |Number { name, value, error }: &Number| {
        let unit = if name.starts_with("log_") || name.contains("_log_") { ", nats" } else { "" };
        let error = error.map_or(String::new(), |e| format!("± {e:.2}"));
        let value = sign(format!("{value:.2}"));
        let name = escape(&words(name));
        format!("<div class=\"tile\"><b>{value} <small>{error}</small></b><span>{name}{unit}</span></div>")
    };
    let numbers = report.numbers();
    let tiles: String = numbers.iter().filter(|n| n.error.is_some()).map(tile).collect();
    if tiles.is_empty() {
        return "<p class=\"note\">Final numbers (summary.json): not there; the run is not finished, or was not evaluated.</p>\n".into();
    }
    let warning = report.warning().map_or(String::new(), |w| format!("<p class=\"warning\">{}</p>\n", escape(w)));
    format!("<div class=\"tiles\">{tiles}</div>\n{warning}")
}

/// Words between backquotes as code.
fn code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(k, part)| if k % 2 == 1 { format!("<code>{part}</code>") } else { part.into() }).collect()
}
/// What the doctor found, if one has looked.
fn doctor(report: &Report) -> String {
    let Some(findings) = &report.findings else { return String::new() };
    let row = |f: &Found| {
        let [severity, about, what, advice] =
            [&f.severity, &f.about, &f.what, &f.advice].map(|text| code(&escape(text)));
        format!("<p><b>{severity}, {about}</b>: {what}.<br>→ {advice}.</p>")
    };
    let rows: String = findings.iter().map(row).collect();
    let rows = if rows.is_empty() { "<p>nothing is out of its range</p>".to_string() } else { rows };
    let mut html = String::new();
    section(&mut html, "Doctor", "doctor.json", &card("at the last look", &rows, "", "wide"));
    html
}

fn chart_of(c: &Curve) -> String {
    let last = c.points.last().map(|p| p.1);
    let note = match c.name.as_str() {
        "reconstruction_error" => {
            "Squared pixels a sample. It falls while a machine learns, and says little of its likelihood."
        }
        "pseudo_log_likelihood" => "Nats a sample. Higher is better; noisy, and no likelihood.",
        "update_ratio" => {
            "Size of an update over that of the weights. About 1e-3 is usual (Hinton 2010); above 1e-2 is fast."
        }
        "free_energy_gap" => "Nats. Held-out less training samples: it grows where a machine overfits.",
        "learning_rate" => "As the schedule had it.",
        _ => "",
    };
    let heading = format!("{} <b>{}</b>", escape(&words(&c.name)), sign(short(last.as_ref())));
    card(heading, &curve(&words(&c.name), "epoch", &c.points), note, "")
}

/// An epoch in three digits.
fn epoch(look: &Look) -> String {
    match look.epoch {
        e if e >= 10.0 || e.fract() == 0.0 => format!("epoch {e:.0}"),
        e if e >= 1.0 => format!("epoch {e:.1}"),
        e if e >= 0.01 => format!("epoch {e:.2}"),
        e => format!("epoch {e:.4}"),
    }
}
fn strips(snapshots: &Snapshots, image_shape: Option<(usize, usize)>) -> String {
    let strip = |look: &Look| {
        let d = look.samples.nrows();
        // What is no image is a column of its units.
        let (height, width) = image_shape.filter(|(h, w)| h.checked_mul(*w) == Some(d)).unwrap_or((d, 1));
        let (low, high) = (look.samples.min().min(0.0), look.samples.max().max(1.0));
        let grid = Grid { columns: Snapshots::CHAINS, scale: 1, gap: 1, background: 48 };
        let picture =
            grid.tile(look.samples.as_view(), height, width, Shade::Range(low, high)).and_then(|p| png_bytes(&p));
        let alt = format!("samples of the model after {} updates", look.step);
        picture.map_or(String::new(), |bytes| {
            format!("<div class=\"strip\"><span>{}</span>{}</div>", epoch(look), image(&bytes, &alt))
        })
    };
    let rows: String = snapshots.looks.iter().map(strip).collect();
    if rows.is_empty() {
        return rows;
    }
    let note = format!(
        "Means of the pixels of {} chains that start at zero, after {} Gibbs sweeps. All alike: the chains are caught in one mode, \
         or the machine knows little more than the mean.",
        Snapshots::CHAINS,
        Snapshots::SWEEPS
    );
    card("What the model dreams", &rows, note, "wide")
}

fn histograms(looks: &[Look]) -> String {
    if looks.is_empty() {
        return String::new();
    }
    let ridge = |name: &str, of: fn(&Look) -> &Histogram, note: &str| {
        let rows: Vec<(String, &Histogram)> =
            looks.iter().map(|look| (epoch(look).replace("epoch ", ""), of(look))).collect();
        card(name, &ridges(&format!("histograms of {name} by epoch"), &rows), note, "")
    };
    ridge(
        "weights",
        |l| &l.weights,
        "By epoch, heights logarithmic. They spread while it learns; a few very large ones: a learning rate too high.",
    ) + &ridge("biases", |l| &l.biases, "By epoch, heights logarithmic. Far below zero: units that are hardly ever on.")
        + &ridge(
            "updates of weights",
            |l| &l.updates,
            "What the last update added, by epoch, heights logarithmic. About a thousandth of the weights is usual.",
        )
}

fn activity(activity: &Mat) -> String {
    let (units, cases) = activity.shape();
    if units * cases == 0 {
        return String::new();
    }
    let (low, high) = (activity.min().min(0.0), activity.max().max(1.0));
    // Row-major pixels: a row a case, a column a unit.
    let pixels = Mat::from_column_slice(units * cases, 1, activity.as_slice());
    let grid = Grid { columns: 1, scale: 2, gap: 0, background: 48 };
    let Ok(bytes) = grid.tile(pixels.as_view(), cases, units, Shade::Range(low, high)).and_then(|p| png_bytes(&p))
    else {
        return String::new();
    };
    let figure = image(&bytes, "means of the hidden units, a row a case, a column a unit");
    let note = format!(
        "{cases} cases, one a row, by {units} hidden units, one a column; white is on. A black column is a dead unit, a white one is \
         always on; equal rows are cases that the machine cannot tell apart."
    );
    card("Means of the hidden units at the last look", &figure, note, "wide")
}

fn picture(name: &str, bytes: &[u8]) -> String {
    let (heading, note) = match name {
        "filters.png" => {
            ("Filters", "Weights into the first hidden units: red positive, blue negative, each in its own scale.")
        }
        _ => (
            "Chains",
            "Chains from independent pixels, left, to equilibrium: means of the pixels after more and more sweeps.",
        ),
    };
    card(heading, &image(bytes, note), note, "half")
}

fn tables(report: &Report) -> String {
    let table = |heading: &str, rows: Vec<(String, String)>| {
        let row = |(name, value): (String, String)| {
            format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escape(&words(&name)), escape(&value))
        };
        let rows: String = rows.into_iter().map(row).collect();
        if rows.is_empty() { rows } else { card(heading, &format!("<table>{rows}</table>"), "", "") }
    };
    let number = |n: Number| (n.name, sign(short(Some(&n.value))));
    let mut html =
        table("Final numbers", report.numbers().into_iter().filter(|n| n.error.is_none()).map(number).collect());
    if let Some(about) = &report.about {
        html += &table("Settings", about.settings.clone().into_iter().collect());
        let mut machine: Vec<_> = about.machine.clone().into_iter().collect();
        machine.push(("library".into(), format!("harmonium {}", about.version)));
        html += &table("Machine", machine);
    }
    let mut out = String::new();
    section(&mut out, "Numbers, settings, machine", "run.json", &html);
    out
}

const STYLE: &str = include_str!("style.css");
