//! What must come out of pages, good and hostile.

use proptest::prelude::*;
use url::Url;

use super::html;
use crate::extract::{Document, Question};

fn read(page: &str) -> Document {
    let url = Url::parse("https://shop.example/about/us?x=1").expect("url");
    html(page.as_bytes(), Some("text/html; charset=utf-8"), &url).expect("document")
}

#[test]
fn main_text_is_kept_and_everything_around_it_is_not() {
    let page = read(
        r#"<!doctype html><html lang="en-GB"><head><title> Acme  &amp; Sons | Plumbing </title>
        <meta name=description content="We fix &quot;pipes&quot;."><link rel=canonical href="/about/us">
        <style>p{color:red}</style><script>var a = "<p>script</p>";</script></head>
        <body><header><a href="/">Logo</a><nav><ul><li><a href="/prices">Prices</a></ul></nav></header>
        <div id="onetrust-banner">We use cookies</div><aside>Advert</aside>
        <main><h1>About <em>us</em></h1><p>Founded in <b>1987</b>.<br>Still here.<p>Second paragraph
        <h2>Prices</h2><table><tr><th>Job<th>Price<tr><td>Call-out<td>$80 | flat</table>
        <ul><li>One<ul><li>Nested</ul><li>Two</ul><ol start=3><li>Third</ol>
        <pre>let x = 1;
  y</pre><blockquote>Great work!</blockquote>
        <form><label>Your name</label><input></form><button>Buy</button><svg><text>pic</text></svg></main>
        <footer>Copyright <a href="tel:+15550100">call</a></footer></body></html>"#,
    );
    assert_eq!(page.title, "Acme & Sons | Plumbing");
    assert_eq!(page.description.as_deref(), Some("We fix \"pipes\"."));
    assert_eq!(page.language.as_deref(), Some("en-gb"));
    assert_eq!(page.canonical.as_deref(), Some("https://shop.example/about/us"));
    assert_eq!(page.contacts, ["tel:+15550100"]);
    assert_eq!(
        page.markdown,
        "# About us\n\nFounded in **1987**.\nStill here.\n\nSecond paragraph\n\n## Prices\n\n\
         | Job | Price |\n| --- | --- |\n| Call-out | $80 \\| flat |\n\n- One\n  - Nested\n- Two\n3. Third\n\n\
         ```\nlet x = 1;\n  y\n```\n\n> Great work!"
    );
    assert_eq!(page.headings.len(), 2);
    let links: Vec<&str> = page.links.iter().map(|link| link.url.as_str()).collect();
    assert_eq!(
        links,
        ["https://shop.example/", "https://shop.example/prices"],
        "menus lose their text but not their links"
    );
}

#[test]
fn a_page_without_main_loses_menus_and_keeps_its_text() {
    let page = read(
        "<body><header><h1>Bakery</h1><div><a href=/a>Home</a></div></header><div class='site-content has-sidebar'>
         <ul><li><a href=/1>Home</a><li><a href=/2>Shop</a><li><a href=/3>News</a><li><a href=/4>Contact</a></ul>
         <p>Bread every day.</p><ul><li>Rye</li><li>Wheat</li></ul></div><div class='sidebar'>Latest posts</div><footer>(c)</footer>",
    );
    assert_eq!(page.markdown, "# Bakery\n\nBread every day.\n\n- Rye\n- Wheat");
}

#[test]
fn an_empty_main_and_a_page_inside_a_form_still_give_their_text() {
    let long = "Text that matters. ".repeat(20);
    let page = read(&format!("<body><main></main><div><p>{long}</p></div>"));
    assert_eq!(page.markdown, long.trim());
    let page = read(&format!("<body><form id=aspnetForm><nav>menu</nav><p>{long}</p></form>"));
    assert_eq!(page.markdown, long.trim());
}

#[test]
fn accordions_and_definition_lists_become_questions() {
    let page = read(
        "<main><details><summary>Do you ship?</summary><p>Yes, daily.</p></details>
         <h3><button>Is it safe?</button></h3><div hidden>Very.</div><dl><dt>Where are you?<dd>In Leeds.</dl></main>",
    );
    assert_eq!(
        page.markdown,
        "**Do you ship?**\n\nYes, daily.\n\n### Is it safe?\n\nVery.\n\n**Where are you?**\n\nIn Leeds."
    );
}

#[test]
fn marked_up_questions_are_read() {
    let page = read(
        r#"<script type="application/ld+json">{"@graph":[{"@type":"FAQPage","mainEntity":[{"@type":"Question","name":"Open on Sunday?",
        "acceptedAnswer":{"@type":"Answer","text":"<p>No, <b>closed</b>.</p>"}}]}]}</script><script type="application/ld+json">{broken</script>"#,
    );
    assert_eq!(page.faqs, [Question { question: "Open on Sunday?".into(), answer: "No, closed .".into() }]);
}

#[test]
fn robots_meta_base_and_nofollow_are_honoured() {
    let page = read(
        "<base href='/shop/'><meta name=ROBOTS content='NoIndex, nofollow'><a href='x?a=1&amp;b=2#f' rel='nofollow noopener'>x</a>
         <a href='javascript:alert(1)'>j</a><a href='#top'>t</a><img src=p.png><img src=p.png>",
    );
    assert!(page.noindex && page.nofollow);
    assert_eq!(page.links.len(), 1);
    assert_eq!((page.links[0].url.as_str(), page.links[0].nofollow), ("https://shop.example/shop/x?a=1&b=2", true));
    assert_eq!(page.images, ["https://shop.example/shop/p.png"]);
}

#[test]
fn windows_1252_pages_are_read_by_their_meta() {
    let url = Url::parse("https://x.example/").expect("url");
    let page = html(b"<meta charset=windows-1252><p>caf\xe9 \x80 5", Some("text/html"), &url).expect("document");
    assert_eq!(page.markdown, "café € 5");
}

#[test]
fn a_hundred_thousand_nested_elements_are_read_without_a_deep_stack() {
    let deep = format!("<main>{}the core{}", "<div><b><font size=1>".repeat(60_000), "</div>".repeat(60_000));
    let page = read(&deep);
    assert_eq!(page.markdown, "the core");
    let unclosed = format!("<main>{}", "<p>again ".repeat(60_000));
    assert!(read(&unclosed).markdown.starts_with("again"), "unclosed paragraphs are not nesting");
}

#[test]
fn a_page_with_too_many_elements_is_cut_and_says_so() {
    let page = read(&format!("<p>first</p>{}<p>last</p>", "<i></i>".repeat(super::MAX_ELEMENTS)));
    assert!(page.truncated);
    assert_eq!(page.markdown, "first");
}

#[test]
fn a_tag_that_never_closes_is_bounded() {
    let page = read(&format!("<p>text</p><a title=\"{}", "x".repeat(1 << 20)));
    assert_eq!(page.markdown, "text");
}

#[test]
fn pictures_named_html_are_refused() {
    let url = Url::parse("https://x.example/").expect("url");
    assert!(html(b"\x89PNG\r\n\x1a\n", Some("text/html"), &url).is_err());
}

proptest! {
    #[test]
    fn any_soup_of_tags_gives_bounded_markdown(parts in prop::collection::vec(prop_oneof![
        Just("<table>".to_owned()), Just("<tr>".to_owned()), Just("<td>".to_owned()), Just("</table>".to_owned()), Just("<ul><li>".to_owned()),
        Just("</ul>".to_owned()), Just("<pre>".to_owned()), Just("</pre>".to_owned()), Just("<b>".to_owned()), Just("</b>".to_owned()),
        Just("<h2>".to_owned()), Just("</h2>".to_owned()), Just("<main>".to_owned()), Just("</main>".to_owned()), Just("<nav>".to_owned()),
        Just("</nav>".to_owned()), Just("<title>".to_owned()), Just("</title>".to_owned()), Just("<!--".to_owned()), Just("-->".to_owned()),
        Just("<script type=application/ld+json>".to_owned()), Just("</script>".to_owned()), Just("<a href='".to_owned()), Just("'>".to_owned()),
        Just("<br>".to_owned()), Just("<blockquote>".to_owned()), Just("<svg><p>".to_owned()), Just("&amp".to_owned()), "[a-zé<>&;\"' \n]{0,12}",
    ], 0..60)) {
        let page = parts.concat();
        let document = read(&page);
        prop_assert!(document.markdown.len() <= page.len() * 30 + 100);
    }

    #[test]
    fn any_bytes_are_a_page_or_a_named_error(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let url = Url::parse("https://x.example/").expect("url");
        let _: Result<Document, crate::Error> = html(&bytes, None, &url);
    }
}

#[test]
fn what_a_page_says_about_the_business_is_read_from_marks_first_and_from_the_footer_too() {
    let page = read(
        r#"<head><script type="application/ld+json">{"@context":"https://schema.org","@type":"Dentist","telephone":"(217) 555-0133",
        "openingHoursSpecification":[{"@type":"OpeningHoursSpecification","dayOfWeek":["Monday","Tuesday"],"opens":"08:00","closes":"18:00"}]}</script>
        <script type="application/ld+json">{ not json</script></head>
        <body><main><h1>Oak Dental</h1><p>Teeth of all kinds, for families in and around the town, with care and without pain since many years.</main>
        <footer><p>12 Elm Street<br>Springfield, IL 62704</p><p>Mon–Fri 7am–5pm, Sat 9-1</p><a href="tel:+12175550199">Call</a></footer>"#,
    );
    assert!(!page.markdown.contains("Springfield"), "the main text is what it was: {}", page.markdown);
    let (marked, said) = (page.business.marked, page.business.said);
    assert_eq!((marked.phone.as_deref(), said.phone.as_deref()), (Some("(217) 555-0133"), Some("+12175550199")));
    assert_eq!(marked.hours.map(|week| week.days.len()), Some(2));
    assert_eq!(said.hours.map(|week| week.days["sat"].close.clone()).as_deref(), Some("13:00"));
    let address = said.address.expect("an address");
    assert_eq!((&*address.street, &*address.city, &*address.zip), ("12 Elm Street", "Springfield", "62704"));
}
