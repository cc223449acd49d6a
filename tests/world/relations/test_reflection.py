"""Reflection: what belongs to what in an image, a shadow, a hole."""


def test_water_shows_everything_twice_once_upside_down(scenes):
    for _, stage in scenes("water_reflection"):
        above = [(a.kind.name, round(x, 5)) for a, x, _, _, how in stage.placed if how.get("stretch", (1, 1))[1] > 0]
        below = [(a.kind.name, round(x, 5)) for a, x, _, _, how in stage.placed if how.get("stretch", (1, 1))[1] < 0]
        assert set(above) == set(below)


def test_an_image_in_water_lies_below_its_thing(scenes):
    for _, stage in scenes("water_reflection"):
        below = {round(x, 5): y for _, x, y, _, how in stage.placed if "stretch" in how}
        assert all(y < below[round(x, 5)] for _, x, y, _, how in stage.placed if "stretch" not in how)


def test_a_shadow_is_dark_and_not_of_the_thing_that_casts_it(scenes):
    for _, stage in scenes("shadow_other"):
        assert sum(stage.shown.values()) == 1
        assert {kind for kind, _ in stage.shown} == {stage.cast[0].kind.name}
        assert all(actor.kind is stage.cast[1].kind for actor, *_, how in stage.placed if "silhouette" in how)


def test_inside_a_silhouette_something_else_is_seen(scenes):
    for _, stage in scenes("silhouette_window"):
        assert {kind for kind, _ in stage.shown} == {stage.cast[1].kind.name}


def test_every_hole_has_its_piece_in_the_colour_of_the_sheet(scenes):
    for _, stage in scenes("cut_out"):
        holes = {actor.kind.name for actor, *_, how in stage.placed if "silhouette" in how}
        assert {kind for kind, _ in stage.shown} == holes
        assert len({colour for _, colour in stage.shown}) == 1


def test_a_mirror_shows_each_thing_once_more_and_reversed(scenes):
    for _, stage in scenes("mirror_pair"):
        assert all(count == 2 for count in stage.shown.values())
        for kind, _ in stage.shown:
            sides = [how["mirror"] for actor, *_, how in stage.placed if actor.kind.name == kind]
            assert sorted(sides) == [False, True]
