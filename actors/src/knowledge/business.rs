//! What an agent's websites say about the business: when it is open, where it is, how it is called. Offered to its owner, who confirms it.

use colloquy_cluster::{Client, EntityKey};
use colloquy_domain::Principal;
use colloquy_domain::agent::config::{BusinessHours, OpenHours};
use colloquy_domain::ids::AgentId;
use colloquy_domain::knowledge::view::PageView;
use colloquy_domain::knowledge::{self, Command, Reply};
use colloquy_domain::local_time::WEEKDAYS;
use colloquy_domain::tenant::profile::{Address, Profile};
use colloquy_domain::vocabulary::SourceType;
use colloquy_knowledge::extract::business::{Facts, Postal, Week};

use super::KnowledgeEntity;
use super::pages::StoredPage;
use crate::ActorError;
use crate::core::ask;

/// Pages that are looked at, the likeliest first: somebody waits, and a business says where it is on one of them.
const PAGES_MAX: usize = 30;
/// Words in a page's address or title by which it is likely to say it.
const LIKELY: [&str; 9] =
    ["contact", "hours", "opening", "visit", "location", "direction", "about", "find-us", "impressum"];

/// Something a page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    /// What.
    pub is: T,
    /// The page's title.
    pub title: String,
    /// The page's address.
    pub url: String,
}

/// What the pages say, each from the page that says it best. It holds what the organization's own settings would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Business {
    /// When it is open, every day named, and whether a day has breaks that are not shown.
    pub hours: Option<Found<(BusinessHours, bool)>>,
    /// Where it is.
    pub address: Option<Found<Address>>,
    /// Its number.
    pub phone: Option<Found<String>>,
}

/// What an agent's websites say about the business.
pub async fn business(client: &Client, by: &Principal, agent: &AgentId) -> Result<Business, ActorError> {
    let Reply::Sources { items } = ask::<KnowledgeEntity>(client, by, agent.as_str(), Command::Sources).await? else {
        return Err(ActorError::Failed);
    };
    let mut pages = Vec::new();
    for site in items {
        if !matches!(site.kind, SourceType::WebsiteScrape | SourceType::Sitemap) {
            continue;
        }
        match ask::<KnowledgeEntity>(client, by, agent.as_str(), Command::Pages { source: site.id }).await {
            Ok(Reply::Pages { items }) => pages.extend(items),
            // Removed meanwhile.
            Ok(_) | Err(ActorError::Rejected(_)) => {}
            Err(error) => return Err(error),
        }
    }
    pages.sort_by_cached_key(rank);
    let key = EntityKey::new(by.tenant.as_str(), knowledge::KIND, agent.as_str());
    let (mut marked, mut said) = (Business::default(), Business::default());
    for page in pages.iter().take(PAGES_MAX) {
        let bytes = client.get_blob(&key, &page.blob).await.map_err(|e| ActorError::Unavailable(e.to_string()))?;
        // Replaced by a newer reading meanwhile, or damaged, which answers tell about.
        let Some(stored) = bytes.and_then(|bytes| StoredPage::from_bytes(&bytes).ok()) else { continue };
        let document = stored.head.document;
        let by_text = match document.business.said.is_empty() {
            // As it was stored before pages were asked for this.
            true => Facts::of_text(&document.markdown, &document.contacts),
            false => document.business.said,
        };
        marked.take(document.business.marked, page);
        said.take(by_text, page);
        if marked.hours.is_some() && marked.address.is_some() && marked.phone.is_some() {
            break;
        }
    }
    Ok(Business {
        hours: marked.hours.or(said.hours),
        address: marked.address.or(said.address),
        phone: marked.phone.or(said.phone),
    })
}

impl Business {
    /// Takes what is not known yet and what the settings would take.
    fn take(&mut self, facts: Facts, page: &PageView) {
        let hours = facts.hours.map(|week| (days(&week), week.breaks));
        let address = facts.address.map(address);
        let mut probe = Profile { name: "a".to_owned(), slug: "ab".to_owned(), ..Profile::default() };
        if let Some((days, _)) = &hours {
            probe.business_hours.clone_from(days);
        }
        probe.address.clone_from(&address);
        probe.phone.clone_from(&facts.phone);
        let wrong = probe.problems();
        let fine = |field: &str| !wrong.iter().any(|problem| problem.field.split('.').next() == Some(field));
        fn found<T>(is: T, page: &PageView) -> Found<T> {
            Found { is, title: page.title.clone(), url: page.url.clone() }
        }
        if self.hours.is_none() && fine("business_hours") {
            self.hours = hours.map(|hours| found(hours, page));
        }
        if self.address.is_none() && fine("address") {
            self.address = address.map(|address| found(address, page));
        }
        if self.phone.is_none() && fine("phone") {
            self.phone = facts.phone.map(|phone| found(phone, page));
        }
    }
}

/// Every day of the week: those that are not named are closed.
fn days(week: &Week) -> BusinessHours {
    let open = |day: &str| {
        let hours = week.days.get(day)?;
        Some(OpenHours { open: hours.open.clone(), close: hours.close.clone() })
    };
    WEEKDAYS.iter().map(|day| ((*day).to_owned(), open(day))).collect()
}

fn address(postal: Postal) -> Address {
    let Postal { street, city, state, zip, country } = postal;
    Address { street, city, state, zip, country }
}

/// The likeliest pages first: those that are about it, then the front page, then what is near to it.
fn rank(page: &PageView) -> (u8, usize, String) {
    let path = page.url.splitn(4, '/').nth(3).unwrap_or_default().to_lowercase();
    let title = page.title.to_lowercase();
    let class = match LIKELY.iter().any(|word| path.contains(word) || title.contains(word)) {
        true => 0,
        false if path.is_empty() => 1,
        false => 2,
    };
    (class, path.matches('/').count(), page.url.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(url: &str, title: &str) -> PageView {
        PageView {
            url: url.into(),
            title: title.into(),
            content_hash: String::new(),
            char_count: 0,
            chunk_count: 0,
            blob: String::new(),
            updated_at: String::new(),
        }
    }

    #[test]
    fn pages_that_are_likely_to_say_it_are_looked_at_first() {
        let mut pages = [
            page("https://a.example/blog/2020/teeth", "Teeth"),
            page("https://a.example/prices", "Prices"),
            page("https://a.example/", "Oak Dental"),
            page("https://a.example/x", "Opening hours"),
            page("https://a.example/contact", "Write to us"),
        ];
        pages.sort_by_cached_key(rank);
        let order: Vec<&str> = pages.iter().map(|page| page.url.rsplit('/').next().unwrap_or_default()).collect();
        assert_eq!(order, ["contact", "x", "", "prices", "teeth"]);
    }

    #[test]
    fn only_what_the_settings_would_take_is_offered_and_the_first_counts() {
        let mut found = Business::default();
        let week = |open: &str, close: &str| {
            let hours = colloquy_knowledge::extract::business::OpenHours { open: open.into(), close: close.into() };
            Week { days: [("mon".to_owned(), hours)].into(), breaks: true }
        };
        let long = Postal { street: "x".repeat(201), ..Postal::default() };
        let wrong = Facts { hours: Some(week("18:00", "08:00")), address: Some(long), phone: Some("1".repeat(41)) };
        found.take(wrong, &page("https://a.example/", "A"));
        assert_eq!(found, Business::default());
        let right = Facts { hours: Some(week("08:00", "18:00")), address: None, phone: Some("217-555-0133".into()) };
        found.take(right.clone(), &page("https://a.example/b", "B"));
        found.take(right, &page("https://a.example/c", "C"));
        let hours = found.hours.expect("hours");
        assert_eq!((hours.title.as_str(), hours.is.1, hours.is.0.len(), &hours.is.0["sun"]), ("B", true, 7, &None));
        assert_eq!(found.phone.map(|phone| phone.is).as_deref(), Some("217-555-0133"));
    }
}
