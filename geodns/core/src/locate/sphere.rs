//! Distance on the globe, and the bias that makes a PoP seem nearer or farther.
//!
//! In: points. Out: great-circle angles in radians. A point becomes a unit vector once; the angle
//! between two follows from the length of the chord, which stays exact for near points, where the
//! arc cosine of a dot product does not.
//! Always holds: an angle is from zero to pi, and without bias it is symmetric.

use super::place::Point;

/// The mean radius of the earth.
const EARTH_KM: f64 = 6371.0;

/// A point as a vector of length one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Vector([f64; 3]);

impl Vector {
    pub(crate) fn of(point: Point) -> Self {
        let (latitude, longitude) = (point.latitude().to_radians(), point.longitude().to_radians());
        let (sin, cos) = latitude.sin_cos();
        Self([cos * longitude.cos(), cos * longitude.sin(), sin])
    }

    /// The square of the chord between two vectors: it orders as the angle does, for less.
    pub(crate) fn chord_squared(self, other: Self) -> f64 {
        let [x, y, z] = self.0;
        let [a, b, c] = other.0;
        (x - a) * (x - a) + (y - b) * (y - b) + (z - c) * (z - c)
    }

    /// The angle between two vectors.
    pub(crate) fn angle(self, other: Self) -> f64 {
        angle_of_chord_squared(self.chord_squared(other))
    }
}

/// The angle of a chord.
pub(crate) fn angle_of_chord_squared(squared: f64) -> f64 {
    2.0 * (squared.sqrt() / 2.0).min(1.0).asin()
}

/// The factor by which a bias in percent changes the distance to a PoP: a positive one shrinks
/// the distance and so expands the PoP's reach, a negative one does the opposite.
pub(crate) fn bias_factor(percent: i8) -> f64 {
    let percent = f64::from(percent.clamp(-99, 99));
    if percent < 0.0 { 100.0 / (100.0 + percent) } else { (100.0 - percent) / 100.0 }
}

/// The angle of a distance along the ground.
pub(crate) fn angle_of_km(km: u32) -> f64 {
    f64::from(km) / EARTH_KM
}

/// The distance along the ground between two points.
#[must_use]
pub fn distance_km(from: Point, to: Point) -> f64 {
    Vector::of(from).angle(Vector::of(to)) * EARTH_KM
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(latitude: f64, longitude: f64) -> Point {
        Point::new(latitude, longitude).unwrap()
    }

    #[test]
    fn distances_are_those_of_the_atlas() {
        let quarter = EARTH_KM * std::f64::consts::FRAC_PI_2;
        let rows = [
            ("Frankfurt to Ashburn", (50.11, 8.68), (39.04, -77.49), 6_549.0, 1.0),
            ("London to Paris", (51.507, -0.128), (48.857, 2.352), 344.0, 2.0),
            ("over the date line", (0.0, 179.5), (0.0, -179.5), 111.2, 0.2),
            ("pole to equator", (90.0, 0.0), (0.0, 77.0), quarter, 0.01),
            ("antipodes", (10.0, 20.0), (-10.0, -160.0), 2.0 * quarter, 0.01),
            ("one place", (50.11, 8.68), (50.11, 8.68), 0.0, 0.0),
            ("eleven metres", (50.0, 8.0), (50.0001, 8.0), 0.0111, 0.0001),
        ];
        for (name, from, to, expected, slack) in rows {
            let km = distance_km(point(from.0, from.1), point(to.0, to.1));
            assert!((km - expected).abs() <= slack, "{name}: {km}");
        }
    }

    #[test]
    fn a_bias_expands_or_shrinks_reach() {
        for (percent, factor) in
            [(0, 1.0), (50, 0.5), (-50, 2.0), (99, 0.01), (-99, 100.0), (127, 0.01)]
        {
            assert!((bias_factor(percent) - factor).abs() < 1e-9, "{percent}");
        }
    }

    proptest! {
        #[test]
        fn angles_agree_with_the_haversine_formula(
            a in -90.0..=90.0f64, b in -180.0..=180.0f64, c in -90.0..=90.0f64, d in -180.0..=180.0f64,
        ) {
            let (from, to) = (point(a, b), point(c, d));
            let (p, q) = (from.latitude().to_radians(), to.latitude().to_radians());
            let turn = (to.longitude() - from.longitude()).to_radians();
            let h = ((q - p) / 2.0).sin().powi(2) + p.cos() * q.cos() * (turn / 2.0).sin().powi(2);
            let haversine = 2.0 * h.sqrt().min(1.0).asin() * EARTH_KM;
            prop_assert!((distance_km(from, to) - haversine).abs() < 1e-3);
            prop_assert!((distance_km(from, to) - distance_km(to, from)).abs() < 1e-9);
        }
    }
}
