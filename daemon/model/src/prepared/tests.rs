use super::Activations;

#[test]
fn activations_are_called_as_in_the_settings() {
    for name in ["int8", "published"] {
        assert_eq!(name.parse::<Activations>().unwrap().to_string(), name);
        let read: Activations = serde_json::from_value(name.into()).unwrap();
        assert_eq!(read.to_string(), name);
    }
    assert_eq!(
        "int4".parse::<Activations>().unwrap_err().to_string(),
        "there are no activations 'int4': use int8 or published"
    );
}
