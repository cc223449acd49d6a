"""What a page is made of, for tests of pages."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "hr", "line", "circle"}


class Outline(HTMLParser):
    """Tags of a page; `faults` names what is closed wrongly."""

    def __init__(self, page):
        super().__init__()
        self.open, self.faults, self.tags, self.words = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.faults.append((tag, self.getpos()))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]
