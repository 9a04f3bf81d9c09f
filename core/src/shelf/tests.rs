use super::*;

#[test]
fn records_are_found_under_their_numbers_until_they_are_taken() {
    let mut shelf = Shelf::default();
    let numbers: Vec<usize> = (0..200).map(|n| shelf.insert(n.to_string())).collect();
    assert_eq!((shelf.len(), shelf.pages.len()), (200, 4));
    for (n, &number) in numbers.iter().enumerate() {
        assert_eq!(shelf[number], n.to_string());
    }
    assert_eq!(shelf.try_remove(numbers[70]).as_deref(), Some("70"));
    assert_eq!((shelf.try_remove(numbers[70]), shelf.get(numbers[70])), (None, None));
    assert!(!shelf.contains(numbers[70]) && shelf.contains(numbers[71]));
    assert_eq!(shelf.get(1 << 20), None);
    assert_eq!(shelf.try_remove(1 << 20), None);
    if let Some(record) = shelf.get_mut(numbers[71]) {
        record.push('!');
    }
    assert_eq!(shelf[numbers[71]], "71!");
    assert_eq!(shelf.iter().count(), 199);
}

#[test]
fn a_shelf_agrees_with_a_map_whatever_comes_and_goes() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    let (mut shelf, mut model) = (Shelf::default(), std::collections::BTreeMap::new());
    for step in 0..40_000 {
        // It grows, then shrinks, in turn.
        let grows = step / 5_000 % 2 == 0;
        if next(10) < if grows { 7 } else { 3 } {
            let number = shelf.insert(step);
            assert!(model.insert(number, step).is_none(), "{number} was taken");
        } else {
            let number = next(4_000);
            assert_eq!(shelf.try_remove(number), model.remove(&number));
        }
        assert_eq!(shelf.len(), model.len());
    }
    assert!(shelf.iter().eq(model.iter().map(|(number, step)| (*number, step))));
    for page in &shelf.pages {
        let taken = page.places.iter().flat_map(|places| places.iter());
        assert_eq!(taken.filter(|place| matches!(place, Place::Taken(_))).count(), usize::from(page.used));
    }
}

#[test]
fn pages_without_records_give_their_memory_back_but_for_one() {
    let mut shelf = Shelf::default();
    let numbers: Vec<usize> = (0..10 * PLACES).map(|n| shelf.insert(n)).collect();
    for number in numbers {
        shelf.try_remove(number);
    }
    let with_memory = |shelf: &Shelf<usize>| shelf.pages.iter().filter(|page| page.places.is_some()).count();
    assert!(shelf.is_empty());
    assert_eq!(with_memory(&shelf), 1);
    for n in 0..10 * PLACES {
        assert!(shelf.insert(n) < 10 * PLACES, "numbers are used again");
    }
    assert_eq!((with_memory(&shelf), shelf.pages.len()), (10, 10));
}

#[test]
fn a_place_costs_no_more_than_its_record() {
    assert_eq!(size_of::<Place<(u64, bool)>>(), size_of::<(u64, bool)>());
}
