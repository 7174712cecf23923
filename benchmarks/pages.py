"""What the scripts that write a page of docs/ have in common."""

from absl import app


def run(path, page):
    """`absl.app.run` of a script that writes `page()`, a string, to a path."""

    def main(argv):
        if argv[1:]:
            raise app.UsageError(f"unknown arguments: {argv[1:]}")
        path.write_text(page(), encoding="utf-8")
        print(path)

    app.run(main)
