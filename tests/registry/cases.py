"""The table of scikit-learn models: what each is fitted on, and whether its conversion is exact or refused.

Rows marked `SILENT` are those that skl2onnx 1.20 converts without an error into a file that answers wrongly.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import sklearn.base
from sklearn import (
    calibration,
    cluster,
    compose,
    cross_decomposition,
    datasets,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    mixture,
    model_selection,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    svm,
    tree,
)
from sklearn import preprocessing as prep
from sklearn.pipeline import make_pipeline as pipe
from sklearn.pipeline import make_union

SILENT = True
Outcome = Literal["FP32", "FP64", "refused", "unsupported"]


class Case(NamedTuple):
    name: str
    model: Callable[[], Any]
    data: str
    outcome: Outcome
    silent: bool = False


class Data(NamedTuple):
    train: Any
    target: np.ndarray
    fresh: Any
    """Rows that neither the model nor the gate has seen."""


@cache
def load(name: str) -> Data:
    rows, target = _SETS[name]()
    half = len(target) // 2
    cut = rows.iloc if isinstance(rows, pd.DataFrame) else rows
    return Data(cut[:half], target[:half], cut[half:])


def fitted(case: Case) -> Any:
    data = load(case.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # small data: solvers complain of convergence
        return sklearn.base.clone(case.model()).fit(data.train, data.target)


def _shuffled(rows: np.ndarray, target: np.ndarray, most: int = 500) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(0).permutation(len(target))[:most]
    return rows[order], target[order]


def _cancer() -> tuple[np.ndarray, np.ndarray]:
    return _shuffled(*datasets.load_breast_cancer(return_X_y=True))


def _cancer_text() -> tuple[np.ndarray, np.ndarray]:
    rows, target = _cancer()
    return rows, np.array(["malignant", "benign"])[target]


def _cancer_missing() -> tuple[np.ndarray, np.ndarray]:
    rows, target = _cancer()
    return np.where(np.random.default_rng(1).random(rows.shape) < 0.1, np.nan, rows), target


def _counts() -> tuple[np.ndarray, np.ndarray]:
    rows, target = _shuffled(*datasets.load_digits(return_X_y=True))
    return rows, target


def _diabetes() -> tuple[np.ndarray, np.ndarray]:
    return _shuffled(*datasets.load_diabetes(return_X_y=True))


def _diabetes_missing() -> tuple[np.ndarray, np.ndarray]:
    rows, target = _diabetes()
    return np.where(np.random.default_rng(1).random(rows.shape) < 0.1, np.nan, rows), target


def _codes() -> tuple[np.ndarray, np.ndarray]:
    """Two columns of category codes, whose order means nothing, and two numbers."""
    generator = np.random.default_rng(2)
    codes, numbers = generator.integers(0, 8, (500, 2)), generator.normal(size=(500, 2))
    return np.hstack([codes, numbers]), (np.isin(codes[:, 0], [1, 4, 6]) ^ (numbers[:, 0] > 0)).astype(int)


def _mixed() -> tuple[pd.DataFrame, np.ndarray]:
    generator = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "price": generator.lognormal(size=500),
            "city": generator.choice(["Bonn", "Köln", "Ulm"], 500),
            "rooms": generator.integers(1, 6, 500),
            "shop": generator.choice(["a", "b"], 500),
        }
    )
    return frame, ((frame.price > 1) ^ (frame.city == "Ulm")).to_numpy(int)


def _mixed_missing() -> tuple[pd.DataFrame, np.ndarray]:
    frame, target = _mixed()
    generator = np.random.default_rng(4)
    return frame.assign(
        city=frame.city.where(generator.random(500) > 0.1), price=frame.price.where(generator.random(500) > 0.1)
    ), target


def _levels() -> tuple[pd.DataFrame, np.ndarray]:
    """pandas categories in an order of their own, 3 and 12 levels, some missing; the fresh half is recoded elsewhere."""
    generator = np.random.default_rng(5)
    towns = np.array([f"town {place}" for place in generator.permutation(12)])
    frame = pd.DataFrame({"price": generator.lognormal(size=800), "town": generator.choice(towns, 800), "size": ["s", "m"] * 400})
    target = (np.isin(frame.town, towns[:5]) ^ (frame.price > 1)).astype(int)
    frame["town"] = pd.Categorical(frame.town.where(generator.random(800) > 0.05), categories=towns)
    return frame.assign(size=frame["size"].astype("category")), target


_SETS: dict[str, Callable[[], Any]] = {
    "cancer": _cancer,
    "cancer text": _cancer_text,
    "cancer missing": _cancer_missing,
    "digits": _counts,
    "diabetes": _diabetes,
    "diabetes missing": _diabetes_missing,
    "iris": lambda: _shuffled(*datasets.load_iris(return_X_y=True)),
    "one class": lambda: (_cancer()[0], np.full(500, 7)),
    "rare": lambda: (_cancer()[0], (_cancer()[0][:, 0] > 18).astype(int)),
    "codes": _codes,
    "levels": _levels,
    "mixed": _mixed,
    "mixed missing": _mixed_missing,
}


def columns(numeric: Any, text: Any) -> Any:
    return compose.make_column_transformer((numeric, ["price", "rooms"]), (text, ["city", "shop"]))


def scaled(model: Any) -> Any:
    return pipe(prep.StandardScaler(), model)


S = {"random_state": 0}
RF = ensemble.RandomForestClassifier
HGB = ensemble.HistGradientBoostingClassifier
LR = linear_model.LogisticRegression
TARGET = compose.TransformedTargetRegressor
ONE_HOT = prep.OneHotEncoder(handle_unknown="ignore")
IMPUTED = impute.SimpleImputer(strategy="most_frequent")

CASES = [
    # converted without an error by skl2onnx, and wrong
    Case("DecisionTree fitted with NaN", lambda: tree.DecisionTreeClassifier(**S), "cancer missing", "FP32", SILENT),
    Case("RandomForest fitted with NaN", lambda: RF(20, **S), "cancer missing", "FP32", SILENT),
    Case("ExtraTrees fitted with NaN", lambda: ensemble.ExtraTreesClassifier(20, **S), "cancer missing", "FP32", SILENT),
    Case("HGB with categorical_features", lambda: HGB(categorical_features=[0, 1], **S), "codes", "FP32", SILENT),
    Case("HGB of pandas categories", lambda: HGB(categorical_features="from_dtype", **S), "levels", "FP32"),
    Case(
        "HGB of pandas categories, calibrated",
        lambda: calibration.CalibratedClassifierCV(HGB(categorical_features="from_dtype", max_iter=10, **S), cv=2),
        "levels",
        "FP32",
    ),
    Case(
        "HGBRegressor of codes",
        lambda: ensemble.HistGradientBoostingRegressor(categorical_features=[1], loss="poisson"),
        "codes",
        "FP32",
    ),
    Case("HGB poisson", lambda: ensemble.HistGradientBoostingRegressor(loss="poisson"), "diabetes", "FP32", SILENT),
    Case("HGB gamma", lambda: ensemble.HistGradientBoostingRegressor(loss="gamma"), "diabetes", "FP32", SILENT),
    Case(
        "SimpleImputer add_indicator",
        lambda: pipe(impute.SimpleImputer(add_indicator=True), prep.StandardScaler(), LR()),
        "cancer missing",
        "FP32",
        SILENT,
    ),
    Case(
        "SimpleImputer add_indicator before trees",
        lambda: pipe(impute.SimpleImputer(strategy="median", add_indicator=True), RF(10, **S)),
        "cancer missing",
        "FP64",
    ),
    Case(
        "SimpleImputer of zeros, add_indicator",
        lambda: pipe(impute.SimpleImputer(missing_values=0, add_indicator=True), LR(max_iter=5000)),
        "digits",
        "FP32",
    ),
    Case(
        "MissingIndicator beside the imputer",
        lambda: pipe(make_union(impute.SimpleImputer(), impute.MissingIndicator()), prep.StandardScaler(), LR()),
        "cancer missing",
        "FP32",
    ),
    Case(
        "TunedThreshold",
        lambda: model_selection.TunedThresholdClassifierCV(
            tree.DecisionTreeClassifier(max_depth=2, **S), scoring="balanced_accuracy"
        ),
        "rare",
        "FP64",
        SILENT,
    ),
    Case("LDA, 2 classes", discriminant_analysis.LinearDiscriminantAnalysis, "cancer", "FP32", SILENT),
    Case("KNN by distance", lambda: neighbors.KNeighborsClassifier(weights="distance"), "cancer", "refused", SILENT),
    Case("OneVsRest of LinearSVC", lambda: multiclass.OneVsRestClassifier(svm.LinearSVC()), "iris", "FP32", SILENT),
    Case("RandomForest, one class", lambda: RF(5, **S), "one class", "FP32", SILENT),
    Case("GaussianMixture", lambda: mixture.GaussianMixture(3, **S), "cancer", "FP64", SILENT),
    Case("GaussianProcessRegressor", lambda: gaussian_process.GaussianProcessRegressor(alpha=1e-3), "diabetes", "FP64", SILENT),
    Case("scaler before HGB", lambda: scaled(HGB(max_iter=30, **S)), "cancer", "FP64", SILENT),
    Case("scaler before RandomForest", lambda: scaled(RF(20, **S)), "cancer", "FP64", SILENT),
    Case("HGB at its thresholds", lambda: HGB(max_iter=30, **S), "cancer", "FP32", SILENT),
    # classifiers
    Case("LogisticRegression", lambda: LR(max_iter=5000), "cancer", "FP32"),
    Case("LogisticRegression, text labels", lambda: LR(max_iter=5000), "cancer text", "FP32"),
    Case("LogisticRegression, 10 classes", lambda: LR(max_iter=5000), "digits", "FP32"),
    Case("scaled LogisticRegression", lambda: scaled(LR()), "cancer", "FP32"),
    Case("RidgeClassifier", linear_model.RidgeClassifier, "cancer", "FP32"),
    Case("SGD log", lambda: scaled(linear_model.SGDClassifier(loss="log_loss", **S)), "cancer", "FP32"),
    Case("Perceptron", lambda: scaled(linear_model.Perceptron(**S)), "cancer", "FP32"),
    Case("LinearSVC", svm.LinearSVC, "cancer", "FP32"),
    Case("LinearSVC in a pipeline", lambda: scaled(svm.LinearSVC()), "digits", "FP32"),
    Case("SVC", lambda: scaled(svm.SVC()), "cancer", "FP32"),
    Case("GaussianNB", naive_bayes.GaussianNB, "cancer", "FP32"),
    Case("MultinomialNB", naive_bayes.MultinomialNB, "digits", "FP64"),
    Case("BernoulliNB", naive_bayes.BernoulliNB, "digits", "FP32"),
    Case("ComplementNB", naive_bayes.ComplementNB, "digits", "FP64"),
    Case("LDA, 3 classes", discriminant_analysis.LinearDiscriminantAnalysis, "iris", "FP32"),
    Case("QDA", discriminant_analysis.QuadraticDiscriminantAnalysis, "iris", "FP32"),
    Case("DecisionTree", lambda: tree.DecisionTreeClassifier(**S), "cancer", "FP32"),
    Case("RandomForest", lambda: RF(50, **S), "cancer", "FP32"),
    Case("RandomForest, even ties", lambda: RF(10, max_depth=3, **S), "digits", "FP32"),
    Case("RandomForest, text labels", lambda: RF(20, **S), "cancer text", "FP32"),
    Case("ExtraTrees", lambda: ensemble.ExtraTreesClassifier(20, **S), "digits", "FP32"),
    Case("GradientBoosting", lambda: ensemble.GradientBoostingClassifier(n_estimators=20), "cancer", "FP32"),
    Case("GradientBoosting, 3 classes", lambda: ensemble.GradientBoostingClassifier(n_estimators=10), "iris", "FP32"),
    Case(
        "GradientBoosting exponential",
        lambda: ensemble.GradientBoostingClassifier(n_estimators=20, loss="exponential"),
        "cancer",
        "FP32",
    ),
    Case("HGB with NaN", lambda: HGB(max_iter=30, **S), "cancer missing", "FP32"),
    Case("HGB, 10 classes", lambda: HGB(max_iter=10, **S), "digits", "FP32"),
    Case("HGB, text labels", lambda: HGB(max_iter=10, **S), "cancer text", "FP32"),
    Case("AdaBoost", lambda: ensemble.AdaBoostClassifier(n_estimators=10, **S), "cancer", "FP32"),
    Case("Bagging of trees", lambda: ensemble.BaggingClassifier(n_estimators=5, **S), "cancer", "FP32"),
    Case("MLP", lambda: scaled(neural_network.MLPClassifier((16,), max_iter=50, **S)), "cancer", "FP32"),
    Case("KNN", lambda: neighbors.KNeighborsClassifier(), "iris", "FP32"),
    Case("Calibrated RandomForest", lambda: calibration.CalibratedClassifierCV(RF(10, **S), cv=2), "cancer", "FP32"),
    Case("Calibrated LinearSVC", lambda: calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2), "iris", "FP32"),
    Case(
        "Calibrated pipeline of LinearSVC",
        lambda: calibration.CalibratedClassifierCV(scaled(svm.LinearSVC()), cv=2),
        "cancer",
        "unsupported",
    ),
    Case("hard Voting", lambda: ensemble.VotingClassifier([("a", RF(5, **S)), ("b", scaled(LR()))]), "cancer", "FP32"),
    Case(
        "soft Voting",
        lambda: ensemble.VotingClassifier([("a", RF(5, **S)), ("b", scaled(LR()))], voting="soft"),
        "cancer",
        "FP32",
    ),
    Case("Stacking", lambda: ensemble.StackingClassifier([("a", RF(5, **S)), ("b", scaled(LR()))], cv=2), "cancer", "FP32"),
    Case(
        "GridSearchCV",
        lambda: model_selection.GridSearchCV(scaled(LR()), {"logisticregression__C": [0.1, 1]}, cv=2),
        "cancer",
        "FP32",
    ),
    Case("OneVsOne", lambda: multiclass.OneVsOneClassifier(LR(max_iter=5000)), "iris", "FP32"),
    # regressors, outliers, clusters
    Case("LinearRegression", linear_model.LinearRegression, "diabetes", "FP32"),
    Case("Ridge", linear_model.Ridge, "diabetes", "FP32"),
    Case("PoissonRegressor", linear_model.PoissonRegressor, "diabetes", "FP32"),
    Case("HuberRegressor", lambda: scaled(linear_model.HuberRegressor()), "diabetes", "FP32"),
    Case("SVR", svm.SVR, "diabetes", "FP32"),
    Case("DecisionTreeRegressor", lambda: tree.DecisionTreeRegressor(**S), "diabetes", "FP32"),
    Case("RandomForestRegressor", lambda: ensemble.RandomForestRegressor(20, **S), "diabetes", "FP32"),
    Case("GradientBoostingRegressor", lambda: ensemble.GradientBoostingRegressor(n_estimators=20), "diabetes", "FP32"),
    Case(
        "GradientBoosting quantile",
        lambda: ensemble.GradientBoostingRegressor(n_estimators=20, loss="quantile"),
        "diabetes",
        "FP32",
    ),
    Case("HGBRegressor", ensemble.HistGradientBoostingRegressor, "diabetes", "FP32"),
    Case("scaler before HGBRegressor", lambda: scaled(ensemble.HistGradientBoostingRegressor()), "diabetes", "FP64"),
    Case("KNNRegressor", neighbors.KNeighborsRegressor, "diabetes", "FP32"),
    Case(
        "VotingRegressor",
        lambda: ensemble.VotingRegressor([("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(**S))]),
        "diabetes",
        "FP32",
    ),
    Case("PLS", lambda: cross_decomposition.PLSRegression(2), "diabetes", "refused"),
    Case("KMeans", lambda: cluster.KMeans(3, **S), "cancer", "FP32"),
    Case("IsolationForest", lambda: ensemble.IsolationForest(n_estimators=10, **S), "iris", "FP32"),
    # steps in front
    Case("PCA", lambda: pipe(prep.StandardScaler(), decomposition.PCA(5), LR()), "cancer", "FP32"),
    Case("SelectKBest", lambda: pipe(feature_selection.SelectKBest(k=5), LR(max_iter=5000)), "cancer", "FP32"),
    Case("PolynomialFeatures", lambda: pipe(prep.PolynomialFeatures(2), prep.StandardScaler(), LR()), "iris", "FP32"),
    Case("RobustScaler", lambda: pipe(prep.RobustScaler(), LR()), "cancer", "FP32"),
    Case("MinMaxScaler before trees", lambda: pipe(prep.MinMaxScaler(), RF(10, **S)), "cancer", "FP64"),
    Case(
        "imputer and scaler before trees",
        lambda: pipe(impute.SimpleImputer(), prep.RobustScaler(), RF(10, **S)),
        "cancer missing",
        "FP64",
    ),
    Case(
        "imputer and quantiles before HGB",
        lambda: pipe(impute.SimpleImputer(strategy="median"), prep.QuantileTransformer(n_quantiles=10), HGB(max_iter=10, **S)),
        "cancer missing",
        "FP64",
    ),
    # of more quantiles skl2onnx alone does not come to an end
    Case("quantiles", lambda: pipe(prep.QuantileTransformer(n_quantiles=10), LR()), "iris", "FP32", SILENT),
    Case(
        "quantiles to a normal distribution",
        lambda: pipe(prep.QuantileTransformer(n_quantiles=10, output_distribution="normal"), LR()),
        "iris",
        "FP32",
    ),
    Case(
        "quantiles to a normal distribution before forests",
        lambda: pipe(impute.SimpleImputer(), prep.QuantileTransformer(n_quantiles=20, output_distribution="normal"), RF(10, **S)),
        "cancer missing",
        "FP64",
    ),
    Case(
        "quantiles to a normal distribution before HGB",
        lambda: pipe(prep.QuantileTransformer(n_quantiles=10, output_distribution="normal"), HGB(max_iter=5, **S)),
        "iris",
        "unsupported",
    ),
    Case("Binarizer, values on the threshold", lambda: pipe(prep.Binarizer(threshold=1.5), LR()), "iris", "FP32"),
    Case("Binarizer, a threshold between floats", lambda: pipe(prep.Binarizer(threshold=0.1), LR()), "iris", "FP32", SILENT),
    Case("PowerTransformer before trees", lambda: pipe(prep.PowerTransformer(), RF(10, **S)), "iris", "FP64"),
    Case("PolynomialFeatures before trees", lambda: pipe(prep.PolynomialFeatures(2), RF(10, **S)), "iris", "FP64"),
    Case(
        "Stacking with a forest on top",
        lambda: ensemble.StackingClassifier(
            [("a", LR(max_iter=5000)), ("b", naive_bayes.GaussianNB())], final_estimator=RF(10, **S), cv=3
        ),
        "cancer",
        "FP64",
    ),
    Case("SimpleImputer", lambda: pipe(impute.SimpleImputer(), prep.StandardScaler(), LR()), "cancer missing", "FP32"),
    Case(
        "KBins, values on the edges",
        lambda: pipe(prep.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf", encode="onehot-dense"), LR()),
        "iris",
        "refused",
    ),
    Case("FeatureUnion", lambda: pipe(make_union(prep.StandardScaler(), decomposition.PCA(2)), LR()), "iris", "FP32"),
    Case("Poly2, DecisionTree", lambda: pipe(prep.PolynomialFeatures(2), tree.DecisionTreeClassifier(**S)), "iris", "FP64"),
    Case("Poly2, HGB", lambda: pipe(prep.PolynomialFeatures(2), HGB(max_iter=20, **S)), "iris", "FP64"),
    Case("PowerTransformer, RandomForest", lambda: pipe(prep.PowerTransformer(), RF(10, **S)), "cancer", "FP64"),
    Case("PowerTransformer, HGB", lambda: pipe(prep.PowerTransformer(), HGB(max_iter=20, **S)), "cancer", "unsupported"),
    Case("KBins one-hot, DecisionTree", lambda: pipe(prep.KBinsDiscretizer(5), tree.DecisionTreeClassifier(**S)), "iris", "FP64"),
    Case("passthrough last", lambda: pipe(pipe(prep.StandardScaler(), "passthrough"), LR()), "iris", "FP32"),
    Case("Calibrated pipeline", lambda: calibration.CalibratedClassifierCV(scaled(LR()), cv=2), "cancer", "FP32"),
    Case("Calibrated HGB", lambda: calibration.CalibratedClassifierCV(HGB(max_iter=20, **S), cv=2), "cancer", "FP32"),
    # mixed frames
    Case("mixed OneHot", lambda: pipe(columns(prep.StandardScaler(), ONE_HOT), LR()), "mixed", "FP32"),
    Case(
        "mixed OneHot, HGB",
        lambda: pipe(
            columns("passthrough", prep.OneHotEncoder(handle_unknown="ignore", sparse_output=False)), HGB(max_iter=20, **S)
        ),
        "mixed",
        "FP32",
    ),
    Case(
        "mixed Ordinal, RandomForest",
        lambda: pipe(
            columns("passthrough", prep.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)), RF(10, **S)
        ),
        "mixed",
        "FP32",
    ),
    Case(
        "mixed OneHot, unseen refused", lambda: pipe(columns(prep.StandardScaler(), prep.OneHotEncoder()), LR()), "mixed", "FP32"
    ),
    Case(
        "mixed OneHot infrequent",
        lambda: pipe(columns(prep.StandardScaler(), prep.OneHotEncoder(handle_unknown="infrequent_if_exist")), LR()),
        "mixed",
        "FP32",
    ),
    Case(
        "mixed OneHot, rare levels together",
        lambda: pipe(
            columns(prep.StandardScaler(), prep.OneHotEncoder(min_frequency=150, handle_unknown="infrequent_if_exist")), LR()
        ),
        "mixed",
        "FP32",
    ),
    Case(
        "mixed Ordinal, unknown is NaN",
        lambda: pipe(
            columns("passthrough", prep.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)),
            HGB(max_iter=20, **S),
        ),
        "mixed",
        "FP32",
    ),
    Case(
        "mixed Ordinal, HGB on their categories",
        lambda: pipe(
            columns("passthrough", prep.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)),
            HGB(max_iter=20, categorical_features=[2, 3], **S),
        ),
        "mixed",
        "FP32",
    ),
    Case("mixed Target, HGB", lambda: pipe(columns("passthrough", prep.TargetEncoder()), HGB(max_iter=20, **S)), "mixed", "FP64"),
    Case(
        "mixed, a stack of pipelines",
        lambda: ensemble.StackingClassifier(
            [
                ("a", pipe(columns(prep.StandardScaler(), ONE_HOT), LR())),
                ("b", pipe(columns("passthrough", prep.TargetEncoder()), HGB(max_iter=20, **S))),
            ],
            LR(),
            cv=2,
        ),
        "mixed",
        "FP64",
    ),
    Case(
        "mixed, TunedThreshold of a calibrated pipeline",
        lambda: model_selection.TunedThresholdClassifierCV(
            calibration.CalibratedClassifierCV(pipe(columns(prep.StandardScaler(), ONE_HOT), LR()), cv=2), cv=2
        ),
        "mixed",
        "FP64",
    ),
    Case("mixed with nulls", lambda: pipe(columns(impute.SimpleImputer(), ONE_HOT), LR()), "mixed missing", "FP32"),
    Case(
        "mixed with nulls imputed",
        lambda: pipe(columns(impute.SimpleImputer(), pipe(IMPUTED, ONE_HOT)), LR()),
        "mixed missing",
        "FP32",
    ),
    # what ONNX, or skl2onnx, cannot express
    Case("SplineTransformer", lambda: pipe(prep.SplineTransformer(), LR()), "iris", "unsupported"),
    Case("FunctionTransformer", lambda: pipe(prep.FunctionTransformer(np.log1p), LR()), "iris", "FP32"),
    Case(
        "FunctionTransformer, validated", lambda: pipe(prep.FunctionTransformer(np.sqrt, validate=True), LR()), "cancer", "FP32"
    ),
    Case("FunctionTransformer, RandomForest", lambda: pipe(prep.FunctionTransformer(np.log1p), RF(10, **S)), "cancer", "FP64"),
    Case(
        "FunctionTransformer, HGB",
        lambda: pipe(prep.FunctionTransformer(np.log1p), HGB(max_iter=20, **S)),
        "cancer",
        "unsupported",
    ),
    Case(
        "FunctionTransformer square, HGB",
        lambda: pipe(prep.FunctionTransformer(np.square), HGB(max_iter=20, **S)),
        "cancer missing",
        "FP64",
    ),
    Case(
        "FunctionTransformer reciprocal of roots, HGB",
        lambda: pipe(prep.FunctionTransformer(np.sqrt), prep.FunctionTransformer(np.reciprocal), HGB(max_iter=20, **S)),
        "cancer missing",
        "FP64",
    ),
    Case(
        "FunctionTransformer of one's own",
        lambda: pipe(prep.FunctionTransformer(lambda rows: rows + 1), LR()),
        "iris",
        "unsupported",
    ),
    Case(
        "FunctionTransformer with arguments",
        lambda: pipe(prep.FunctionTransformer(np.log, kw_args={"where": True}), LR()),
        "iris",
        "unsupported",
    ),
    Case(
        "mixed FunctionTransformer, OneHot",
        lambda: pipe(
            columns(
                pipe(prep.FunctionTransformer(np.abs, feature_names_out="one-to-one"), prep.FunctionTransformer(np.log1p)),
                ONE_HOT,
            ),
            LR(),
        ),
        "mixed",
        "FP32",
    ),
    Case(
        "FixedThreshold",
        lambda: model_selection.FixedThresholdClassifier(RF(10, **S), threshold=0.3),
        "cancer",
        "FP64",
    ),
    Case(
        "FixedThreshold of text labels",
        lambda: model_selection.FixedThresholdClassifier(scaled(LR()), threshold=0.7, pos_label="benign"),
        "cancer text",
        "FP64",
    ),
    Case(
        "TunedThreshold of HGB", lambda: model_selection.TunedThresholdClassifierCV(HGB(max_iter=20, **S), cv=3), "rare", "FP64"
    ),
    Case(
        "TunedThreshold on scores",
        lambda: model_selection.TunedThresholdClassifierCV(LR(), response_method="decision_function", cv=2),
        "cancer",
        "unsupported",
    ),
    Case(
        "FixedThreshold in a pipeline",
        lambda: scaled(model_selection.FixedThresholdClassifier(LR(), threshold=0.3)),
        "cancer",
        "unsupported",
    ),
    Case("LDA, text labels", discriminant_analysis.LinearDiscriminantAnalysis, "cancer text", "FP32"),
    Case(
        "LDA by eigenvalues", lambda: scaled(discriminant_analysis.LinearDiscriminantAnalysis(solver="eigen")), "cancer", "FP32"
    ),
    Case(
        "TransformedTarget",
        lambda: TARGET(linear_model.Ridge(), func=np.log, inverse_func=np.exp),
        "diabetes",
        "FP64",
    ),
    Case(
        "TransformedTarget log1p, HGB fitted with NaN",
        lambda: TARGET(ensemble.HistGradientBoostingRegressor(max_iter=20, **S), func=np.log1p, inverse_func=np.expm1),
        "diabetes missing",
        "FP64",
    ),
    Case(
        "TransformedTarget sqrt, scaled RandomForest",
        lambda: TARGET(scaled(ensemble.RandomForestRegressor(10, **S)), func=np.sqrt, inverse_func=np.square),
        "diabetes",
        "FP64",
    ),
    Case(
        "TransformedTarget log1p in a pipeline, HGB",
        lambda: scaled(
            TARGET(ensemble.HistGradientBoostingRegressor(max_iter=20, **S), func=np.log1p, inverse_func=np.expm1),
        ),
        "diabetes missing",
        "FP64",
    ),
    Case(
        "PowerTransformer, TransformedTarget of HGB",
        lambda: pipe(
            prep.PowerTransformer(),
            TARGET(ensemble.HistGradientBoostingRegressor(max_iter=20, **S), func=np.log1p, inverse_func=np.expm1),
        ),
        "diabetes",
        "unsupported",
    ),
    Case(
        "TransformedTarget by StandardScaler",
        lambda: TARGET(scaled(linear_model.Ridge()), transformer=prep.StandardScaler()),
        "diabetes",
        "FP64",
    ),
    Case(
        "TransformedTarget by MinMaxScaler, SVR",
        lambda: TARGET(scaled(svm.SVR()), transformer=prep.MinMaxScaler()),
        "diabetes",
        "FP32",
    ),
    Case(
        "TransformedTarget in a vote",
        lambda: ensemble.VotingRegressor(
            [("a", TARGET(scaled(linear_model.Ridge()), func=np.log, inverse_func=np.exp)), ("b", linear_model.Ridge())]
        ),
        "diabetes",
        "FP64",
    ),
    Case(
        "TransformedTarget of one's own",
        lambda: TARGET(linear_model.Ridge(), func=lambda target: target + 1, inverse_func=lambda target: target - 1),
        "diabetes",
        "unsupported",
    ),
    Case(
        "TransformedTarget by quantiles",
        lambda: TARGET(linear_model.Ridge(), transformer=prep.QuantileTransformer(n_quantiles=20)),
        "diabetes",
        "unsupported",
    ),
    Case(
        "mixed TransformedTarget, OneHot",
        lambda: TARGET(pipe(columns(prep.StandardScaler(), ONE_HOT), linear_model.Ridge()), func=np.log1p, inverse_func=np.expm1),
        "mixed",
        "FP64",
    ),
    Case("GaussianProcessClassifier", lambda: gaussian_process.GaussianProcessClassifier(), "cancer", "refused"),
]
"""TfidfVectorizer, the last of the silent ones, takes text and no table: `test_text_vectorisers_are_refused`."""

VECTORISERS = [feature_extraction.text.TfidfVectorizer, feature_extraction.text.CountVectorizer]
