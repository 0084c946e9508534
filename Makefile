# `make demo` and `make test` are all the set-up there is: each creates .venv when it is missing.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
FOOTAGE := examples/footage

.PHONY: demo test extension bench lint clean

demo: $(VENV)/ready
	mkdir -p out
	$(BIN)/aios run $(FOOTAGE)/astronaut.jpg -o out/astronaut.blend --preview out/astronaut.png
	$(BIN)/aios run $(FOOTAGE)/plaza.mp4 -o out/plaza.blend --preview out/plaza.mp4
	$(BIN)/python examples/describe.py out/astronaut.npz out/plaza.npz
	@ls -l out

test: $(VENV)/ready
	$(BIN)/python -m pytest

extension: $(VENV)/ready
	$(BIN)/python tools/build_extension.py --output dist

bench: $(VENV)/ready
	$(BIN)/python -m benchmarks

lint: $(VENV)/ready
	$(BIN)/python -m pip install -q -c constraints.txt ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[blender,train,test]'
	touch $@

clean:
	rm -rf $(VENV) out dist build *.egg-info
