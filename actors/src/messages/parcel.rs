//! What of a message leaves at once: words, files that the line carries, links to those that it does not. The same for the same message whenever it is asked
//! for, so that a look-up knows what it seeks.

use colloquy_domain::conversation::attachment::{FETCH_WITHIN_MS, READ_WITHIN_MS, carried_max};
use colloquy_domain::conversation::{Attachment, Outgoing};
use colloquy_domain::ids::TenantId;
use colloquy_domain::vocabulary::Channel;
use colloquy_telephony::twilio::outgoing::{self, BODY_CHARS_MAX};
use colloquy_telephony::whatsapp::rest::CAPTION_CHARS_MAX;

use super::files;
use crate::Tools;

/// One request to the provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parcel {
    /// Words; may be empty beside files.
    pub text: String,
    /// Files that the provider fetches.
    pub files: Vec<Attachment>,
}

/// A message as it leaves.
pub(super) fn parcels(tools: &Tools, tenant: &TenantId, conversation: &str, of: &Outgoing) -> Vec<Parcel> {
    let until_ms = of.said_ms.saturating_add(READ_WITHIN_MS);
    cut(of, |file| files::link(tools, tenant, conversation, &file.id, until_ms))
}

/// Where the provider fetches a file.
pub(super) fn fetched_at(
    tools: &Tools,
    tenant: &TenantId,
    conversation: &str,
    of: &Outgoing,
    file: &Attachment,
) -> String {
    files::link(tools, tenant, conversation, &file.id, of.said_ms.saturating_add(FETCH_WITHIN_MS))
}

fn cut(of: &Outgoing, link: impl Fn(&Attachment) -> String) -> Vec<Parcel> {
    let carries = |file: &&Attachment| file.bytes <= carried_max(&of.line, of.channel, file.kind);
    let (carried, linked): (Vec<&Attachment>, Vec<&Attachment>) = of.files.iter().partition(carries);
    let mut texts = outgoing::parts(&of.text);
    if !linked.is_empty() {
        // A link is never cut: it stands below the last words, or in a message of its own.
        let links = linked.into_iter().map(link).collect::<Vec<_>>().join("\n");
        match texts.last_mut() {
            Some(last) if last.chars().count() + 1 + links.chars().count() <= BODY_CHARS_MAX => {
                *last = format!("{last}\n{links}");
            }
            Some(_) | None => texts.push(links),
        }
    }
    let mut parcels: Vec<Parcel> = texts.into_iter().map(|text| Parcel { text, files: Vec::new() }).collect();
    if of.channel == Channel::Whatsapp {
        // One file each; words stand below a picture if they are all there is to say, and never below a document.
        let mut carried = carried.into_iter().cloned().peekable();
        if let [only] = parcels.as_mut_slice()
            && only.text.chars().count() <= CAPTION_CHARS_MAX
            && carried.peek().is_some_and(|first| first.kind.is_image())
        {
            only.files.extend(carried.next());
        }
        parcels.extend(carried.map(|file| Parcel { text: String::new(), files: vec![file] }));
    } else if !carried.is_empty() {
        if parcels.is_empty() {
            parcels.push(Parcel::default());
        }
        parcels[0].files = carried.into_iter().cloned().collect();
    }
    parcels
}

#[cfg(test)]
mod tests {
    use colloquy_domain::contact_guard::Purpose;
    use colloquy_domain::conversation::{FileType, Line};
    use colloquy_domain::lines::Provider;

    use super::*;

    fn file(name: &str, kind: FileType, bytes: u64) -> Attachment {
        Attachment { id: "0".repeat(16), kind, name: name.into(), bytes }
    }

    fn of(channel: Channel, to: &str, text: &str, files: Vec<Attachment>) -> Outgoing {
        let line = Line {
            provider: Provider::Twilio,
            from: "+14155550100".into(),
            external_id: None,
            to: to.into(),
            template: None,
            heard_ms: None,
            proof: None,
        };
        Outgoing {
            message: "m".into(),
            channel,
            line,
            purpose: Purpose::Answer,
            text: text.into(),
            files,
            said_ms: 0,
            part: 0,
            attempt: 1,
            attempted_ms: None,
            known: Vec::new(),
        }
    }

    fn shown(of: &Outgoing) -> Vec<String> {
        let one = |parcel: Parcel| {
            let names: Vec<&str> = parcel.files.iter().map(|file| file.name.as_str()).collect();
            format!("{}|{}", parcel.text, names.join("+"))
        };
        cut(of, |file| format!("https://h/{}", file.name)).into_iter().map(one).collect()
    }

    const ANN: &str = "+12175550133";
    const BERLIN: &str = "+4915112345678";

    #[test]
    fn each_channel_gets_files_as_it_can_take_them() {
        let (a, b) = (file("a.png", FileType::Png, 9), file("b.pdf", FileType::Pdf, 9));
        let (gif, large) = (file("c.gif", FileType::Gif, 9), file("d.pdf", FileType::Pdf, 600_001));
        for (channel, to, text, files, expected) in [
            (Channel::Sms, ANN, "Hi", vec![&a, &b], vec!["Hi|a.png+b.pdf"]),
            (Channel::Sms, ANN, "", vec![&a], vec!["|a.png"]),
            (Channel::Sms, ANN, "Hi", vec![&a, &large], vec!["Hi\nhttps://h/d.pdf|a.png"]),
            (Channel::Sms, BERLIN, "Hi", vec![&a, &b], vec!["Hi\nhttps://h/a.png\nhttps://h/b.pdf|"]),
            (Channel::Sms, BERLIN, "", vec![&a], vec!["https://h/a.png|"]),
            (Channel::Whatsapp, BERLIN, "Hi", vec![&a, &b], vec!["Hi|a.png", "|b.pdf"]),
            (Channel::Whatsapp, BERLIN, "Hi", vec![&b, &a], vec!["Hi|", "|b.pdf", "|a.png"]),
            (Channel::Whatsapp, BERLIN, "", vec![&a], vec!["|a.png"]),
            (Channel::Whatsapp, BERLIN, "Hi", vec![&gif], vec!["Hi\nhttps://h/c.gif|"]),
        ] {
            let sent = of(channel, to, text, files.into_iter().cloned().collect());
            assert_eq!(shown(&sent), expected);
        }
    }

    #[test]
    fn long_words_keep_links_whole_and_the_parts_within_their_bounds() {
        let text = "A sentence of some length that goes on. ".repeat(300);
        let pictures = vec![file("a.png", FileType::Png, 9); 5];
        for (channel, to) in [(Channel::Sms, ANN), (Channel::Sms, BERLIN), (Channel::Whatsapp, BERLIN)] {
            let parcels = cut(&of(channel, to, &text, pictures.clone()), |_| format!("https://h/{}", "x".repeat(200)));
            assert!(parcels.len() <= 10 && parcels.iter().all(|one| one.text.chars().count() <= BODY_CHARS_MAX));
            let links: usize = parcels.iter().map(|one| one.text.matches(&"x".repeat(200)).count()).sum();
            let files: usize = parcels.iter().map(|one| one.files.len()).sum();
            assert_eq!(links + files, 5, "{channel:?} {to}");
        }
    }
}
