//! The profile as one page: a timeline for every task, drawn, and its table. Nothing is loaded from anywhere, nothing runs;
//! the page says so itself, by its content security policy.

use std::fmt::Write;

use rapidbyte_core::profile::{Moment, RunProfile, StageProfile, TaskProfile};

use super::{PARTS, bytes, count, elapsed, longest, name, percent, stage_name};

/// The drawing's size in its own units; the page scales it.
const WIDTH: u64 = 1000;
const ROW_HEIGHT: u64 = 28;
const ROW_GAP: u64 = 22;
const AXIS_HEIGHT: u64 = 24;
const TICKS: u64 = 4;

const STYLE: &str = "\
:root{color-scheme:light dark;--back:#fff;--text:#1b1f24;--faint:#57606a;--line:#d0d7de;--track:#eef1f4;\
--busy:#c2410c;--input:#9ecae9;--output:#c7b8ea;--server:#1f6f5c}\
@media(prefers-color-scheme:dark){:root{--back:#14171b;--text:#e6e9ec;--faint:#9aa4af;--line:#333a42;--track:#22272e;\
--busy:#f08a4b;--input:#37597a;--output:#5d4c86;--server:#4cc2a0}}\
body{margin:2rem auto;max-width:64rem;padding:0 1rem;background:var(--back);color:var(--text);\
font:16px/1.5 system-ui,sans-serif}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.5rem}.verdict{font-size:1.1rem}.faint,figcaption{color:var(--faint)}\
figure{margin:1rem 0;overflow-x:auto}svg{width:100%;min-width:32rem;height:auto}svg text{font:13px system-ui,sans-serif;\
fill:var(--text)}svg .tick{fill:var(--faint)}svg line{stroke:var(--line)}.track{fill:var(--track)}\
.busy{fill:var(--busy);background:var(--busy)}.input{fill:var(--input);background:var(--input)}\
.output{fill:var(--output);background:var(--output)}.server{fill:var(--server);background:var(--server)}\
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;padding:0;list-style:none}\
.legend span{display:inline-block;width:.9rem;height:.9rem;margin-right:.4rem;vertical-align:-.1rem}\
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{padding:.3rem .6rem;text-align:right;\
border-bottom:1px solid var(--line);white-space:nowrap;font-variant-numeric:tabular-nums}\
th:first-child{text-align:left}caption{text-align:left;color:var(--faint)}";

/// The profile of a run of a pipeline as a page.
pub fn html(pipeline: &str, profile: &RunProfile) -> String {
    let title = format!("Profile of {}", escape(pipeline));
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         <p class=\"verdict\">{} in all: {}.</p>\n",
        elapsed(profile.wall_ms),
        code(&profile.held_back_by)
    );
    legend(&mut out);
    let (tasks, left_out) = longest(profile);
    for (index, task) in tasks.into_iter().enumerate() {
        section(&mut out, index, &name(profile, &task.key), task);
    }
    if left_out > 0 {
        let _ = writeln!(out, "<p class=\"faint\">And {left_out} shorter ones.</p>");
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn legend(out: &mut String) {
    out.push_str("<ul class=\"legend\">\n");
    for part in PARTS {
        let _ =
            writeln!(out, "<li><span class=\"{}\" aria-hidden=\"true\"></span>{}</li>", part.word, part.long);
    }
    out.push_str("</ul>\n");
}

fn section(out: &mut String, index: usize, name: &str, task: &TaskProfile) {
    let name = escape(name);
    let _ = write!(
        out,
        "<section aria-labelledby=\"task-{index}\">\n<h2 id=\"task-{index}\">{name}</h2>\n\
         <p>{} from {} after the run began, {} of it getting ready.</p>\n",
        elapsed(task.wall_ms),
        elapsed(task.started_ms),
        elapsed(task.preparing_ms)
    );
    drawing(out, index, &name, task);
    table(out, &name, task);
    out.push_str("</section>\n");
}

/// One row a stage, time from left to right, each bucket divided from bottom to top as the legend lists the parts.
fn drawing(out: &mut String, index: usize, name: &str, task: &TaskProfile) {
    let height = task.stages.len() as u64 * (ROW_HEIGHT + ROW_GAP) + AXIS_HEIGHT;
    let _ = write!(
        out,
        "<figure>\n<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"draw-{index} told-{index}\">\n\
         <title id=\"draw-{index}\">Timeline of {name}</title>\n<desc id=\"told-{index}\">{}</desc>\n",
        escape(&told(task))
    );
    let buckets = task.stages.iter().map(|stage| stage.timeline.len()).max().unwrap_or(0) as u64;
    let axis = height - AXIS_HEIGHT;
    for tick in 0..=TICKS {
        let x = WIDTH * tick / TICKS;
        let ms = task.bucket_us.saturating_mul(buckets) / 1000 * tick / TICKS;
        let anchor = match tick {
            0 => "start",
            TICKS => "end",
            _ => "middle",
        };
        let _ = writeln!(
            out,
            "<line x1=\"{x}\" y1=\"0\" x2=\"{x}\" y2=\"{axis}\"/>\
             <text class=\"tick\" x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            height - 6,
            elapsed(ms)
        );
    }
    for (row, stage) in task.stages.iter().enumerate() {
        let top = row as u64 * (ROW_HEIGHT + ROW_GAP);
        let _ = writeln!(
            out,
            "<text x=\"2\" y=\"{}\">{}</text>\
             <rect class=\"track\" x=\"0\" y=\"{}\" width=\"{WIDTH}\" height=\"{ROW_HEIGHT}\"/>",
            top + ROW_GAP - 7,
            escape(&stage_name(stage)),
            top + ROW_GAP
        );
        bars(out, stage, top + ROW_GAP, buckets);
    }
    out.push_str("</svg>\n</figure>\n");
}

/// A path for each part, so that a page of many tasks stays small.
fn bars(out: &mut String, stage: &StageProfile, top: u64, buckets: u64) {
    let shares: [fn(&Moment) -> u16; 4] =
        [|moment| moment.busy, |moment| moment.input, |moment| moment.output, |moment| moment.remote];
    for (index, part) in PARTS.iter().enumerate() {
        let mut path = String::new();
        for (bucket, moment) in stage.timeline.iter().enumerate() {
            let share = shares[index](moment);
            if share == 0 {
                continue;
            }
            let below: u16 = shares[..index].iter().map(|share| share(moment)).sum();
            // In hundredths of a unit, so that no float is printed.
            let at = |bucket: u64| (WIDTH * 100 * bucket).checked_div(buckets).unwrap_or(0);
            let (left, right) = (at(bucket as u64), at(bucket as u64 + 1));
            let tall = |share: u16| u64::from(share) * ROW_HEIGHT / 10;
            let (high, bottom) = (tall(share), (top + ROW_HEIGHT) * 100 - tall(below));
            let _ = write!(
                path,
                "M{} {}h{}v-{}h-{}z",
                hundredths(left),
                hundredths(bottom),
                hundredths(right - left),
                hundredths(high),
                hundredths(right - left)
            );
        }
        if !path.is_empty() {
            let _ = writeln!(out, "<path class=\"{}\" d=\"{path}\"/>", part.word);
        }
    }
}

fn hundredths(value: u64) -> String {
    match (value / 100, value % 100) {
        (whole, 0) => whole.to_string(),
        (whole, rest) => format!("{whole}.{rest:02}"),
    }
}

/// What the drawing shows, for who does not see it.
fn told(task: &TaskProfile) -> String {
    let stages = task.stages.iter().map(|stage| {
        let parts =
            PARTS.iter().map(|part| format!("{} {}%", part.long, percent((part.of)(stage), stage.wall_ms)));
        format!("{}: {}", stage_name(stage), parts.collect::<Vec<_>>().join(", "))
    });
    stages.collect::<Vec<_>>().join(". ")
}

fn table(out: &mut String, name: &str, task: &TaskProfile) {
    let _ = write!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Stages of {name}\">\n\
         <table>\n<caption>Time of each stage</caption>\n<thead><tr><th scope=\"col\">Stage</th>"
    );
    for part in PARTS {
        let _ = write!(out, "<th scope=\"col\">{}</th>", capital(part.long));
    }
    out.push_str("<th scope=\"col\">Rows</th><th scope=\"col\">Bytes</th></tr></thead>\n<tbody>\n");
    for stage in &task.stages {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", escape(&stage_name(stage)));
        for part in PARTS {
            let ms = (part.of)(stage);
            let _ = write!(out, "<td>{} ({}%)</td>", elapsed(ms), percent(ms, stage.wall_ms));
        }
        let _ = writeln!(out, "<td>{}</td><td>{}</td></tr>", count(stage.records), bytes(stage.bytes));
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// Text in which what stands between backticks becomes code.
fn code(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = escape(part);
        out.push_str(&if index % 2 == 1 { format!("<code>{part}</code>") } else { part });
    }
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters are no part of a page, not even escaped.
            _ if character.is_control() => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn is_one_page() {
        insta::assert_snapshot!(html("stripe <to> postgres", &fixture::profile()));
    }

    #[test]
    fn loads_nothing_runs_nothing_and_escapes_names() {
        let page = html("<script>alert(1)</script>", &fixture::profile());
        for not in ["<script", "<b>", "http://", "https://", "src=", "href=", "url(", "@import", "onload"] {
            assert!(!page.contains(not), "{not}");
        }
        assert!(page.contains("&lt;b&gt;&amp;&quot;evil&quot;, partition 1"));
        assert_eq!(escape("a\u{0}'b"), "a\u{fffd}&#39;b");
    }

    #[test]
    fn every_tag_is_closed_in_order() {
        let page = html("p", &fixture::profile());
        let mut open = Vec::new();
        for tag in page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap_or_default()) {
            let name = tag.split([' ', '/', '\n']).find(|part| !part.is_empty()).unwrap_or_default();
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(closed), "at `<{tag}>`");
            } else if !tag.ends_with('/') && !["!doctype", "meta"].contains(&name) {
                open.push(name.to_owned());
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn the_drawing_stays_inside_its_box() {
        let page = html("p", &fixture::profile());
        // Two buckets: the second half begins at 500 and ends at 1000, nothing is wider.
        assert!(page.contains("M0 ") && page.contains("M500 ") && !page.contains("M1000 "));
        let nothing = RunProfile::new(std::time::Instant::now(), std::time::Duration::ZERO, Vec::new());
        assert!(html("p", &nothing).contains("no stream was moved."));
    }
}
