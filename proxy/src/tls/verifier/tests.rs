use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};

use super::*;

const URI: &str = "spiffe://example.org/app";

/// An authority, and what it signed or what signed itself.
struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self {
            authority: CertifiedIssuer::self_signed(params, key).expect("signed"),
        }
    }

    fn signed(&self, change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = names(&["a.example", "192.0.2.1"]);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.authority);
        signed.expect("signed").der().clone()
    }

    fn roots(&self) -> Vec<CertificateDer<'static>> {
        vec![self.authority.der().clone()]
    }
}

fn names(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).expect("names")
}

fn verifier(given: &[CertificateDer<'static>], skip: bool, uri: Option<&str>) -> Verifier {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(given.iter().cloned());
    Verifier::new(Arc::new(roots), given.to_vec(), skip, uri.map(Into::into))
}

fn verify(
    verifier: &Verifier,
    certificate: &CertificateDer<'_>,
    name: &str,
) -> Result<(), CertificateError> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    // 2026-06-15: within what rcgen makes by default.
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_781_481_600));
    match verifier.verify_server_cert(certificate, &[], &name, &[], now) {
        Ok(_) => Ok(()),
        Err(Error::InvalidCertificate(problem)) => Err(problem),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn names_addresses_and_authorities_count() {
    let (pki, other) = (Pki::new("one"), Pki::new("other"));
    let certificate = pki.signed(|_| ());
    let strict = verifier(&pki.roots(), false, None);
    assert_eq!(verify(&strict, &certificate, "a.example"), Ok(()));
    assert_eq!(verify(&strict, &certificate, "192.0.2.1"), Ok(()));
    for wrong in ["b.example", "192.0.2.2", "x.a.example"] {
        let problem = verify(&strict, &certificate, wrong);
        assert!(
            matches!(
                problem,
                Err(CertificateError::NotValidForNameContext { .. })
            ),
            "{wrong}: {problem:?}"
        );
    }
    for roots in [&other.roots()[..], &[]] {
        let problem = verify(&verifier(roots, false, None), &certificate, "a.example");
        assert_eq!(problem, Err(CertificateError::UnknownIssuer));
    }
}

#[test]
fn the_time_counts() {
    let pki = Pki::new("one");
    let strict = verifier(&pki.roots(), false, None);
    let expired = pki.signed(|params| params.not_after = rcgen::date_time_ymd(2026, 1, 1));
    let early = pki.signed(|params| params.not_before = rcgen::date_time_ymd(2027, 1, 1));
    let problem = verify(&strict, &expired, "a.example");
    assert!(
        matches!(problem, Err(CertificateError::ExpiredContext { .. })),
        "{problem:?}"
    );
    let problem = verify(&strict, &early, "a.example");
    assert!(
        matches!(problem, Err(CertificateError::NotValidYetContext { .. })),
        "{problem:?}"
    );
}

#[test]
fn a_certificate_that_is_given_is_trusted_as_itself_also_if_it_is_an_authority() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = names(&["a.example"]);
        params.is_ca = is_ca;
        let key = KeyPair::generate().expect("a key");
        let own = params.self_signed(&key).expect("signed").der().clone();
        let trusting = verifier(std::slice::from_ref(&own), false, None);
        assert_eq!(verify(&trusting, &own, "a.example"), Ok(()));
        assert!(verify(&trusting, &own, "b.example").is_err());
        assert!(verify(&verifier(&[], false, None), &own, "a.example").is_err());
    }
    let mut params = names(&["a.example"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = rcgen::date_time_ymd(2026, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let expired = params.self_signed(&key).expect("signed").der().clone();
    let trusting = verifier(std::slice::from_ref(&expired), false, None);
    assert_eq!(
        verify(&trusting, &expired, "a.example"),
        Err(CertificateError::Expired)
    );
}

#[test]
fn skipping_skips_everything_but_a_uri_that_is_asked_for() {
    let (pki, other) = (Pki::new("one"), Pki::new("other"));
    let uri = |params: &mut CertificateParams| {
        let uri = URI.try_into().expect("a URI");
        params.subject_alt_names.push(SanType::URI(uri));
    };
    let (plain, with_uri) = (pki.signed(|_| ()), pki.signed(uri));
    assert_eq!(
        verify(&verifier(&[], true, None), &plain, "b.example"),
        Ok(())
    );
    let by_uri = verifier(&pki.roots(), true, Some(URI));
    assert_eq!(verify(&by_uri, &with_uri, "b.example"), Ok(()));
    assert!(matches!(
        verify(&by_uri, &plain, "a.example"),
        Err(CertificateError::Other(other)) if other.0.is::<WrongUri>()
    ));
    assert_eq!(
        verify(&by_uri, &other.signed(uri), "a.example"),
        Err(CertificateError::UnknownIssuer)
    );
    let both = verifier(&pki.roots(), false, Some(URI));
    assert_eq!(verify(&both, &with_uri, "a.example"), Ok(()));
    assert!(verify(&both, &with_uri, "b.example").is_err());
}
