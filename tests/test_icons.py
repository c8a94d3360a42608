"""Which icons the site's font keeps."""

from site_extension.icons import shown

STYLES = (
    r'.fa-sun:before{content:"\f185"}.fa-gear:before,.fa-cog:before{content:"\f013"}'
    r'.fa-moon:before{content:"\f186"}.next::after { content: "\f107"; }'
    ':root{--bell:"\uf0f3"}'
)


def test_icons_that_pages_name_are_kept():
    assert 0xF185 in shown('<i class="fa-solid fa-sun"></i>', STYLES)
    assert 0xF013 in shown('<i class="fa-solid fa-cog"></i>', STYLES)  # its other name


def test_icons_that_style_sheets_draw_are_kept():
    assert shown("", STYLES) == {0xF107, 0xF0F3}


def test_a_name_inside_another_is_not_that_icon():
    assert 0xF185 not in shown("fa-sunrise xfa-sun", STYLES)
